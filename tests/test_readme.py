"""The README's blocks, executed in order: `arc-vae` lines and Python as they stand; `make` lines only as a dry run."""
import json
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, command

import arc_vae
from arc_vae.corpus.formats import arc_tasks, join_tasks
from arc_vae.corpus.generator import make_grids
from arc_vae.metrics.accuracy import METRICS, accuracies, count_per_grid

README = (ROOT/"README.md").read_text(encoding="utf-8")
PAGES = [ROOT/"README.md", *sorted((ROOT/"docs").glob("*.md"))]
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.M | re.S)

def run_python(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, code + done.stderr

def run_shell_line(line, folder):
    words = line.split("#")[0].split()
    if words[0] == "make":  # would set up an environment within the environment
        done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "arc-vae run" in done.stdout or "pytest" in done.stdout, done.stdout + done.stderr
    else:
        done = command(*words, cwd=folder)
        assert done.returncode == 0, line + done.stdout

def test_readme_blocks_run(tmp_path):
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    (tmp_path/"benchmarks").symlink_to(ROOT/"benchmarks")
    for kind, code in BLOCKS:
        if kind == "python":
            run_python(code, tmp_path)
        else:
            for line in code.splitlines():
                run_shell_line(line, tmp_path)
    assert json.loads((tmp_path/"outputs"/"first"/"metrics.json").read_text())["verdict"] == "pass"

@pytest.mark.parametrize("page, words", [("README.md", []), ("docs/results.md", ["full"])])
def test_pages_show_the_results_that_are_kept(page, words):
    done = subprocess.run([sys.executable, ROOT/"benchmarks"/"results.py", *words], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count("\n") > 5
    assert done.stdout in (ROOT/page).read_text(encoding="utf-8")

@pytest.mark.parametrize("name", ["default-seed0", "arc-seed0"])
def test_the_kept_figures_are_what_todays_definitions_say(name):
    "A shipped model on its own test grids: a changed definition fails here until the results are made anew."
    results = ROOT/"benchmarks"/"results"
    kept = json.loads((results/f"{name}.json").read_text(encoding="utf-8"))["test"]
    real, _ = join_tasks(arc_tasks("evaluation"))
    grids = real if name == "arc-seed0" else torch.from_numpy(make_grids(100_000)[0][90_000:])
    pred = arc_vae.load(results/f"{name}.pth").reconstruct(grids)
    found = accuracies(count_per_grid(pred, grids))
    for name in METRICS: assert abs(found[name] - kept[name]) < 1e-4, name

def test_every_notebook_is_listed():
    listed = re.findall(r"^\| `([\w/]+)`", (ROOT/"docs"/"notebooks.md").read_text(encoding="utf-8"), re.M)
    notebooks = [path.relative_to(ROOT/"nbs") for path in (ROOT/"nbs").rglob("*.ipynb")]
    there = {str(path.with_suffix("")) for path in notebooks if ".ipynb_checkpoints" not in path.parts}
    assert set(listed) == there

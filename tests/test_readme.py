"""The README's blocks, executed in order: `arc-vae` lines and Python as they stand; of `make` lines it is checked that they would do what is said."""
import json
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, command

import arc_vae
from arc_vae.atomic import make_grids

README = (ROOT/"README.md").read_text(encoding="utf-8")
PAGES = [ROOT/"README.md", *sorted((ROOT/"docs").glob("*.md"))]
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.M | re.S)

def test_readme_blocks_run(tmp_path):
    assert {kind for kind, _ in BLOCKS} == {"sh", "python"}
    for kind, code in BLOCKS:
        if kind == "python":
            done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, code + done.stderr
            continue
        for line in code.splitlines():
            words = line.split("#")[0].split()
            if words[0] == "make":  # would set up an environment within the environment
                done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
                assert done.returncode == 0 and ("arc-vae run" in done.stdout or "pytest" in done.stdout), done.stdout + done.stderr
            else:
                done = command(*words, cwd=tmp_path)
                assert done.returncode == 0, line + done.stdout

@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    paths = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [p for p in paths if not (page.parent/p).is_file()] == []

def test_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= 130 and [line for line in lines if len(line) > 120] == []

@pytest.mark.parametrize("page, words", [("README.md", []), ("docs/results.md", ["full"])])
def test_pages_show_the_results_that_are_kept(page, words):
    done = subprocess.run([sys.executable, ROOT/"benchmarks"/"results.py", *words], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("\n") > 5 and done.stdout in (ROOT/page).read_text(encoding="utf-8")

def test_the_model_that_comes_with_the_repository_is_the_one_in_the_table():
    "On grids that no training has seen, from another seed of the generator."
    kept = json.loads((ROOT/"benchmarks"/"results"/"default-seed0.json").read_text())["test"]
    x = torch.from_numpy(make_grids(1000, seed=77)[0])
    pred = arc_vae.load(ROOT/"benchmarks"/"results"/"default-seed0.pth").reconstruct(x)
    assert abs((pred == x).double().mean().item() - kept["pixel_accuracy"]) < .005 and abs((pred == x)[x > 0].double().mean().item() - kept["foreground_accuracy"]) < .03

def test_every_notebook_is_listed():
    listed = re.findall(r"^\| `([\w/]+)`", (ROOT/"docs"/"notebooks.md").read_text(encoding="utf-8"), re.M)
    assert set(listed) == {str(p.relative_to(ROOT/"nbs").with_suffix("")) for p in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts}

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

@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_readme_links_lead_somewhere(path):
    assert (ROOT/path).is_file()

def test_readme_shows_the_results_that_are_kept():
    done = subprocess.run([sys.executable, ROOT/"benchmarks"/"results.py"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("\n") > 8 and done.stdout in README

def test_the_model_that_comes_with_the_repository_is_the_one_in_the_table():
    "On grids that no training has seen, from another seed of the generator."
    kept = json.loads((ROOT/"benchmarks"/"results"/"default-seed0.json").read_text())["test"]
    x = torch.from_numpy(make_grids(1000, seed=77)[0])
    pred = arc_vae.load(ROOT/"benchmarks"/"results"/"default-seed0.pth").reconstruct(x)
    assert abs((pred == x).double().mean().item() - kept["pixel_accuracy"]) < .005 and abs((pred == x)[x > 0].double().mean().item() - kept["foreground_accuracy"]) < .03

def test_readme_names_every_notebook():
    assert {p.stem for p in (ROOT/"nbs").glob("*.ipynb")} == set(re.findall(r"^\| `(\d\w+)`", README, re.M))

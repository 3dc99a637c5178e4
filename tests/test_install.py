"""The sdist and the wheel, installed where there is no checkout, and a checkout seen from elsewhere.

The environments hold the wheel and links to the installed packages that its requirements name, and nothing else.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, distribution
from zipfile import ZipFile

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

STAGES = ("02_train", "03_evaluate", "04_latent_viz", "05_sample")
BACKEND = "import sys; from setuptools import build_meta as b; print(getattr(b, 'build_' + sys.argv[1])(sys.argv[2]))"


def run_program(*words, cwd):
    "Exit code and output of a program, without the environment variables that would lead to the checkout."
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ARC_VAE", "IN_TEST"))}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=kept | dict(WANDB_MODE="offline", OMP_NUM_THREADS="1"),
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def build(kind, folder, cwd):
    code, output = run_program(sys.executable, "-W", "ignore", "-c", BACKEND, kind, folder, cwd=cwd)
    assert code == 0, output
    return folder/output.split()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "The sdist of the checkout, and the wheel that is built from nothing but that sdist."
    folder = tmp_path_factory.mktemp("built")
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0"):
        if not name or not (ROOT/name).is_file(): continue
        (folder/"checkout"/name).parent.mkdir(parents=True, exist_ok=True)  # building writes beside the sources
        shutil.copy2(ROOT/name, folder/"checkout"/name)
    sdist = build("sdist", folder, folder/"checkout")
    with tarfile.open(sdist) as tar: tar.extractall(folder, filter="data")
    return sdist, build("wheel", folder, folder/sdist.name.removesuffix(".tar.gz"))


def needed(name, extras, seen):
    "Add the names of all distributions that one needs with some of its extras, as they are installed here."
    key = re.sub("[-_.]+", "-", name).lower()
    if set(extras) <= seen.get(key, set()): return
    try: requires = distribution(name).requires or []
    except PackageNotFoundError: return  # torch's wheel for the CPU asks for some that it does without
    seen.setdefault(key, set()).update(extras)
    for requirement in map(Requirement, requires):
        marker = requirement.marker
        if not marker or any(marker.evaluate(dict(extra=extra)) for extra in extras):
            needed(requirement.name, ("", *requirement.extras), seen)


def environment(folder, wheel, extra=""):
    "The programs of a fresh environment."
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = (sys.executable, "-m", "pip", "--python", folder/"bin"/"python", "install", "--no-deps", "--no-index")
    code, output = run_program(*pip, wheel, cwd=folder)
    assert code == 0, output
    (site,) = folder.glob("lib/python*/site-packages")
    (metadata,) = site.glob("arc_vae-*.dist-info/METADATA")
    names = {}
    for line in metadata.read_text().splitlines():
        if not line.startswith("Requires-Dist: "): continue
        requirement = Requirement(line.removeprefix("Requires-Dist: "))
        if requirement.marker and not requirement.marker.evaluate(dict(extra=extra)): continue
        needed(requirement.name, ("", *requirement.extras), names)
    for there in map(distribution, names):
        for top in {path.parts[0] for path in there.files if path.parts[0] not in ("..", "__pycache__")}:
            if not (site/top).exists(): (site/top).symlink_to(there.locate_file(top))
    return folder/"bin"


def test_sdist_and_wheel_hold_what_they_need(built):
    with tarfile.open(built[0]) as tar: sdist = {name.partition("/")[2] for name in tar.getnames()}
    wheel = ZipFile(built[1]).namelist()
    assert {"settings.ini", "constraints.txt", "LICENSE", *(f"nbs/{name}.ipynb" for name in STAGES)} <= sdist
    notebooks = [name for name in wheel if name.endswith(".ipynb")]
    assert sorted(notebooks) == [f"arc_vae/notebooks/{name}.ipynb" for name in STAGES]
    static = {str(path.relative_to(ROOT)) for path in (ROOT/"arc_vae").rglob("static/*") if path.is_file()}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT/"arc_vae").rglob("*.py")}
    assert static | modules | {"arc_vae/py.typed"} <= set(wheel)
    assert built[1].stat().st_size < 3e6


def test_alone_it_imports_and_says_what_commands_need(built, tmp_path):
    programs = environment(tmp_path/"bare", built[1])
    code = "import arc_vae; print(arc_vae.__file__, arc_vae.VAE); from arc_vae import *; arc_vae.GridEncoder"
    rc, output = run_program(programs/"python", "-c", code, cwd=tmp_path)
    assert rc == 1 and f"{programs.parent}/lib" in output, output
    assert "ImportError: arc_vae.GridEncoder: the package sklearn is missing: pip install 'arc_vae[run]'" in output
    rc, output = run_program(programs/"arc-vae", "--help", cwd=tmp_path)
    assert (rc, output) == (1, "arc-vae: the package click is missing: pip install 'arc_vae[run]' brings it\n")


def test_everything_runs_from_an_empty_folder(built, tmp_path):
    programs, work = environment(tmp_path/"full", built[1], "run"), tmp_path/"my grids"
    work.mkdir()
    rc, output = run_program(programs/"arc-vae", "run", "--preset", "tiny", "--run", "first", "n_corpus=600",
                             "epochs=1", "beta_final_epoch=1", cwd=work)
    assert rc == 0, output
    assert [path.name for path in work.iterdir()] == ["outputs"]
    first = work/"outputs"/"first"
    for name in (*(f"{stage}.ipynb" for stage in STAGES), "report.html", "samples.npz"): assert (first/name).exists()
    assert json.loads((first/"metrics.json").read_text())["test"]["n_grids"] == 60
    code = "import sys; sys.modules['papermill'] = None; import arc_vae; arc_vae.main()"
    rc, output = run_program(programs/"python", "-c", code, "train", "--preset", "tiny", cwd=work)
    assert rc == 1
    assert output.splitlines()[-1] == "Error: the package papermill is missing: pip install 'arc_vae[run]' brings it"


def test_a_checkout_is_found_from_the_folder_above(tmp_path):
    "An editable install puts the checkout on the path; a folder of the package's name in front of it must not hide it."
    copy = tmp_path/"arc_vae"
    copy.mkdir()
    for name in ("setup.py", "settings.ini", "README.md", "arc_vae", "nbs"): (copy/name).symlink_to(ROOT/name)
    programs = environment(tmp_path/"environment", build("editable", tmp_path, copy))
    code = "import arc_vae; print(arc_vae.__file__); arc_vae.load"
    rc, output = run_program(programs/"python", "-c", code, cwd=tmp_path)
    assert rc == 0 and output.strip() == str(copy/"arc_vae"/"__init__.py"), output

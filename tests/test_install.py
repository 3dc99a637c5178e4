"""The wheel, installed where there is no checkout, and a checkout seen from elsewhere."""
import json
import subprocess
import sys

import pytest
from conftest import ROOT
from installing import build, environment, listed, run

STAGES = ("02_train", "03_evaluate", "04_latent_viz", "05_sample")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def full(built, tmp_path_factory):
    return environment(tmp_path_factory.mktemp("an environment")/"run", built[1], "run")


@pytest.fixture(scope="module")
def bare(built, tmp_path_factory):
    return environment(tmp_path_factory.mktemp("environment")/"bare", built[1])


def test_sdist_and_wheel_hold_what_they_need(built):
    sdist, wheel = map(listed, built)
    assert {"settings.ini", "constraints.txt", "LICENSE", *(f"nbs/{name}.ipynb" for name in STAGES)} <= set(sdist)
    notebooks = [name for name in wheel if name.endswith(".ipynb")]
    assert sorted(notebooks) == [f"arc_vae/notebooks/{name}.ipynb" for name in STAGES]
    assert "arc_vae/py.typed" in wheel
    static = {str(path.relative_to(ROOT)) for path in (ROOT/"arc_vae").rglob("static/*") if path.is_file()}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT/"arc_vae").rglob("*.py")}
    assert static | modules <= set(wheel)
    assert built[1].stat().st_size < 3e6


def test_alone_it_imports_and_says_what_commands_need(bare, tmp_path):
    code = "import arc_vae; print(arc_vae.__file__, arc_vae.VAE, [name for name in dir(arc_vae) if name == 'load'])"
    rc, said = run(bare/"python", "-c", code, cwd=tmp_path)
    assert rc == 0 and str(bare.parent) in said and "['load']" in said, said
    rc, said = run(bare/"python", "-c", "from arc_vae import *; import arc_vae; arc_vae.GridEncoder", cwd=tmp_path)
    assert rc == 1
    assert said.splitlines()[-1] == ("ImportError: arc_vae.GridEncoder: the package sklearn is missing: "
                                     "pip install 'arc_vae[run]' brings it")
    rc, said = run(bare/"arc-vae", "--help", cwd=tmp_path)
    assert rc == 1
    assert said == "arc-vae: the package click is missing: pip install 'arc_vae[run]' brings it\n"


def test_a_missing_package_is_one_line(full, tmp_path):
    code = "import sys; sys.modules['papermill'] = None; import arc_vae; arc_vae.main()"
    rc, said = run(full/"python", "-c", code, "train", "--preset", "tiny", cwd=tmp_path)
    assert rc == 1
    assert said.splitlines()[-1] == "Error: the package papermill is missing: pip install 'arc_vae[run]' brings it"


def test_everything_runs_from_an_empty_folder(full, tmp_path):
    work = tmp_path/"my grids"
    work.mkdir()
    tiny = ("--preset", "tiny", "--run", "first", "--set", "n_corpus=600", "--set", "epochs=1",
            "--set", "beta_final_epoch=1")
    rc, said = run(full/"arc-vae", "run", *tiny, cwd=work)
    assert rc == 0, said
    assert [path.name for path in work.iterdir()] == ["outputs"]
    first = work/"outputs"/"first"
    for name in (*(f"{stage}.ipynb" for stage in STAGES), "report.html", "samples.npz"): assert (first/name).exists()
    assert json.loads((first/"metrics.json").read_text())["test"]["n_grids"] == 60


def test_a_checkout_is_found_from_the_folder_above(tmp_path):
    "An editable install puts the checkout on the path; a folder of the package's name in front of it must not hide it."
    copy = tmp_path/"arc_vae"
    copy.mkdir()
    for name in ("setup.py", "settings.ini", "README.md", "arc_vae", "nbs"): (copy/name).symlink_to(ROOT/name)
    code = f"""
import sys
from setuptools import build_meta
print(build_meta.build_editable({str(tmp_path)!r}))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    bin = environment(tmp_path/"environment", wheel)
    rc, said = run(bin/"python", "-c", "import arc_vae; print(arc_vae.__file__); arc_vae.load", cwd=tmp_path)
    assert rc == 0, said
    assert said.strip() == str(copy/"arc_vae"/"__init__.py")

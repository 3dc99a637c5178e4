"""Source distribution, wheel, and environments that hold an installed wheel and what it asks for, nothing else."""
import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from conftest import ROOT
from packaging.requirements import Requirement

BACKEND = "import sys; from setuptools import build_meta as b; getattr(b, 'build_' + sys.argv[1])(sys.argv[2])"


def build(folder):
    "The sdist of the checkout, and the wheel that is built from nothing but that sdist."
    def backend(what, cwd):
        command = [sys.executable, "-c", BACKEND, what, str(folder)]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    copy = folder/"checkout"  # building writes beside the sources
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    sources = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in sources.split("\0"):
        if not name or not (ROOT/name).is_file(): continue
        (copy/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT/name, copy/name)
    backend("sdist", copy)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as tar: tar.extractall(folder, filter="data")
    backend("wheel", folder/sdist.name.removesuffix(".tar.gz"))
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def needed(name, extras=("",), seen=None):
    "Names of all distributions that one needs with some of its extras, as they are installed here."
    seen = {} if seen is None else seen
    key = re.sub("[-_.]+", "-", name).lower()
    if set(extras) <= seen.get(key, set()): return set(seen)
    try:
        requires = distribution(name).requires or []
    except PackageNotFoundError:
        return set(seen)  # torch's wheel for the CPU asks for some that it does without
    seen.setdefault(key, set()).update(extras)
    for requirement in map(Requirement, requires):
        marker = requirement.marker
        if not marker or any(marker.evaluate(dict(extra=extra)) for extra in extras):
            needed(requirement.name, ("", *requirement.extras), seen)
    return set(seen)


def clean_environment():
    "This process's environment variables without those that would lead to the checkout."
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ARC_VAE", "IN_TEST"))}
    return kept | dict(WANDB_MODE="offline", OMP_NUM_THREADS="1")


def environment(folder, wheel, extra=""):
    "A fresh environment: the wheel, and links to installed packages, those alone that its requirements name."
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder/"bin"/"python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], env=clean_environment(), check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (own,) = site.glob("arc_vae-*.dist-info")
    names = set()
    for line in (own/"METADATA").read_text().splitlines():
        if not line.startswith("Requires-Dist: "): continue
        requirement = Requirement(line.removeprefix("Requires-Dist: "))
        if requirement.marker and not requirement.marker.evaluate(dict(extra=extra)): continue
        names |= needed(requirement.name, ("", *requirement.extras))
    for name in names:
        there = distribution(name)
        for top in {path.parts[0] for path in there.files if path.parts[0] not in ("..", "__pycache__")}:
            if not (site/top).exists(): (site/top).symlink_to(there.locate_file(top))
    return folder/"bin"


def run(program, *words, cwd):
    "A program of such an environment, in a folder; what it printed, and its exit code."
    done = subprocess.run([program, *map(str, words)], cwd=cwd, env=clean_environment(), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def listed(path):
    "Names in a wheel or sdist, without the sdist's own folder."
    from zipfile import ZipFile
    if Path(path).suffix == ".whl": return ZipFile(path).namelist()
    with tarfile.open(path) as tar: return [name.partition("/")[2] for name in tar.getnames()]

"""What the tests share: the project's folders, and one real smoke run through the command line."""
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
sys.path.insert(0, str(Path(__file__).parent))


def command(*words, cwd=ROOT, env=None, timeout=600):
    "Run a program of the environment and return its finished process, output and errors together."
    environment = {name: value for name, value in os.environ.items() if name not in ("IN_TEST", "ARC_VAE_RUN")}
    environment |= dict(WANDB_MODE="offline", PYTHONWARNINGS="ignore") | (env or {})
    return subprocess.run([str(BIN/words[0]), *map(str, words[1:])], cwd=cwd, env=environment, timeout=timeout,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def contents(folder):
    "Every file below a folder with its hash. Hashes, because pytest takes hours to tell two long files apart."
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pytest_collection_modifyitems(items):
    "The files that take longest come first, so that two processes end at about the same time."
    long = ("test_pipeline", "test_crash", "test_readme", "test_notebooks", "test_hostile", "test_browser")
    items.sort(key=lambda item: long.index(item.path.stem) if item.path.stem in long else len(long))


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    "A folder with a space in its name, to work in as a person would."
    return tmp_path_factory.mktemp("work place")


@pytest.fixture(scope="session")
def smoke(workplace):
    "outputs/smoke of a whole `arc-vae run --preset smoke`, with what it printed in `said.txt` beside it."
    done = command("arc-vae", "run", "--preset", "smoke", "--run", "smoke", cwd=workplace)
    (workplace/"said.txt").write_text(done.stdout)
    assert done.returncode == 0, done.stdout
    return workplace/"outputs"/"smoke"


@pytest.fixture(scope="session")
def canvas_model():
    "A model that keeps sizes, of five objects, the first with a plane of shapes."
    from arc_vae.apps.export import _examples
    from arc_vae.code.network import make_vae
    vae = make_vae("objects_canvas", 19)
    vae.fit(_examples(vae.pad, 200))
    return vae.eval()


@pytest.fixture(scope="session")
def evaluated():
    "The small trained and evaluated run that the notebooks show too, for tests that look into a model."
    from arc_vae.evaluate import evaluate
    from arc_vae.train import demo_run
    os.environ.pop("ARC_VAE_RUN", None)
    run, _ = demo_run(evaluate)
    return run

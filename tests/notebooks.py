"""`make notebooks`: what was changed in code since the last commit is executed, then all are exported and cleaned.

    python tests/notebooks.py                          # the notebooks whose code differs from git's HEAD
    python tests/notebooks.py nbs/04_latent_viz.ipynb  # this one, whether it differs or not

Of the outputs stored before, all stay that say the same: text that differs in durations and addresses only, and
pictures of the same pixels. So a diff shows what the change has changed.
"""
import base64
import io
import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image
from widget_state import FOLDER, NOTEBOOKS, drop, with_state

ROOT = FOLDER.parent
RUN = ROOT/"outputs"/"default-seed0"  # what the notebooks that read ARC_VAE_RUN show
HOW = "arc-vae run --run default-seed0 --set threads=1"
VOLATILE = re.compile(r"""
    0x[0-9a-f]+                                              # addresses
  | \b\d{4}-\d\d-\d\d(?:[ T_]\d\d[:.]?\d\d(?:[:.]?\d\d)?)?   # dates
  | \b20\d{6}-\d{6}\b                                        # names of runs
  | \b\d+:\d\d(?::\d\d)?\b                                   # clocks
  | \b\d[\d,.]*\s*(?:[mµ]?s|seconds?|min(?:utes?)?)\b        # durations
  | \b\d[\d,.]*\s*[A-Za-z]+(?:/s|\ a\ second)\b              # speeds
""", re.VERBOSE)


def code(nb):
    "The sources of a notebook's code cells."
    return tuple(cell.source for cell in nb.cells if cell.cell_type == "code")


def committed():
    "The code of all notebooks of the last commit, wherever they stood then."
    names = git("ls-tree", "-r", "--name-only", "HEAD", "nbs").splitlines()
    return {code(nbformat.reads(git("show", f"HEAD:{name}"), 4)) for name in names if name.endswith(".ipynb")}


def git(*words):
    return subprocess.run(["git", "-C", ROOT, *words], check=True, capture_output=True, encoding="utf-8").stdout


def changed():
    "The notebooks whose code is that of no notebook in the last commit."
    known = committed()
    return [path for path in NOTEBOOKS if code(nbformat.read(path, 4)) not in known]


def without_volatile(line):
    return " ".join(VOLATILE.sub("", line).split())


def keep_text(
    old:str,   # As stored
    new:str,   # As it came out now
)->str:        # The new one, with the old lines that say the same
    lines, now = old.splitlines(True), new.splitlines(True)
    if len(lines) != len(now): return new
    pairs = zip(lines, now)
    return "".join(a if without_volatile(a) == without_volatile(b) else b for a, b in pairs)


def pixels(png):
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    return image.size, image.convert("RGBA").tobytes()


def keep_data(
    mime:str,  # What kind of data it is
    old,       # As stored
    new,       # As it came out now
):             # The old data where they show the same, else the new
    if mime == "image/png": return old if pixels(old) == pixels(new) else new
    if mime.endswith("widget-view+json"): return old  # a view's name is new each time
    return keep_text(old, new) if isinstance(old, str) and isinstance(new, str) else new


def keep_output(
    old:dict,  # An output as stored
    new:dict,  # As it came out now
)->dict:       # The new one, with what says the same as the old
    if old.output_type != new.output_type or old.get("name") != new.get("name"): return new
    if new.output_type == "execute_result": new.execution_count = old.execution_count
    if new.output_type == "stream": new.text = keep_text(old.text, new.text)
    for mime, data in new.get("data", {}).items():
        if mime in old.data: new.data[mime] = keep_data(mime, old.data[mime], data)
    return new


def joined(outputs):
    "Copies of outputs, with what was printed in a row in one: where a kernel cuts it is chance."
    together = []
    for output in outputs:
        same = together and output.output_type == together[-1].output_type == "stream"
        if same and output.name == together[-1].name:
            together[-1].text += output.text
        else:
            together.append(deepcopy(output))
    return together


def keep_outputs(
    old:list,  # Outputs of a cell as stored
    new:list,  # As they came out now
)->list:       # The new ones, with what says the same as the old
    old_joined, new_joined = joined(old), joined(new)
    kept = [keep_output(a, b) for a, b in zip(old_joined, new_joined)] + new_joined[len(old_joined):]
    return old if kept == old_joined else kept


def execute(
    path:Path,  # A notebook
):              # None; it is written when all its cells have run; SystemExit names the first that failed
    "Run a notebook in its own folder, as a reader would, and store what it shows now."
    nb = nbformat.read(path, 4)
    before = [cell.get("outputs", []) for cell in nb.cells]
    client = NotebookClient(nb, timeout=None, record_timing=False, resources={"metadata": {"path": str(path.parent)}},
                            extra_arguments=["--IPKernelApp.log_level=ERROR"])  # else it warns of TCP each time
    try:
        client.execute()
    except CellExecutionError as error:
        raise SystemExit(f"{path.relative_to(ROOT)}: not stored, for a cell failed\n{error}") from None
    for cell, stored in zip(nb.cells, before):
        if cell.cell_type == "code": cell.outputs = keep_outputs(stored, cell.outputs)
    nbformat.write(nb, path)


def execute_all(paths):
    "One notebook after the other; those that show a trained run stay as they are where it is missing."
    os.environ.pop("IN_TEST", None)
    os.environ["WANDB_MODE"] = "offline"
    os.environ["PYTHONWARNINGS"] = "ignore"  # a warning names a file of this machine
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # the last digits depend on it
    for path in paths:
        name = path.relative_to(ROOT)
        os.environ["ARC_VAE_RUN"] = os.path.relpath(RUN, path.parent)
        if "ARC_VAE_RUN" in path.read_text(encoding="utf-8") and not (RUN/"metrics.json").exists():
            print(f"{name}: not executed, for it shows {RUN.relative_to(ROOT)}, which is missing; make it: {HOW}")
            continue
        print(f"{name}: executing", flush=True)
        execute(path)


def run(program):
    "A program of nbdev, which works on all notebooks."
    environment = {name: value for name, value in os.environ.items() if name != "IN_TEST"}
    subprocess.run([Path(sys.executable).parent/program], check=True, cwd=ROOT, env=environment)


def main(*names):
    paths = [Path(name).resolve() for name in names] or changed()
    run("nbdev_export")  # first: notebooks import each other's modules
    execute_all(paths)
    run("nbdev_clean")
    for path in with_state():
        drop(path)


if __name__ == "__main__":
    main(*sys.argv[1:])

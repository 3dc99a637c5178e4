"""`make notebooks`: execute the notebooks whose code differs from git's HEAD, then export and clean all of them.

    python tests/notebooks.py                          # the notebooks whose code differs
    python tests/notebooks.py nbs/04_latent_viz.ipynb  # this one, whether it differs or not

A cell keeps its stored outputs where the new ones show the same: text that differs in durations, dates and addresses
only, pictures of the same pixels. So a diff shows what the change has changed.
"""
import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from density import NOTEBOOKS
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT/"outputs"/"default-seed0"  # shown by the notebooks that read ARC_VAE_RUN
VOLATILE = re.compile(r"""
    0x[0-9a-f]+                                              # addresses
  | \b\d{4}-\d\d-\d\d(?:[ T_]\d\d[:.]?\d\d(?:[:.]?\d\d)?)?   # dates
  | \b20\d{6}-\d{6}\b                                        # names of runs
  | \b\d+:\d\d(?::\d\d)?\b                                   # clocks
  | \b\d[\d,.]*\s*(?:[mµ]?s|seconds?|min(?:utes?)?)\b        # durations
  | \b\d[\d,.]*\s*[A-Za-z]+(?:/s|\ a\ second)\b              # speeds
""", re.VERBOSE)


def git(*words): return subprocess.check_output(["git", "-C", ROOT, *words], encoding="utf-8")


def code(nb): return tuple(cell.source for cell in nb.cells if cell.cell_type == "code")


def changed():
    "The notebooks whose code is that of no notebook in the last commit, whatever its name was."
    names = git("ls-tree", "-r", "--name-only", "HEAD", "nbs").splitlines()
    committed = {code(nbformat.reads(git("show", f"HEAD:{name}"), 4)) for name in names if name.endswith(".ipynb")}
    return [path for path in NOTEBOOKS if code(nbformat.read(path, 4)) not in committed]


def content(kind, data):
    "What is compared of an output of this MIME type or stream."
    if kind != "image/png": return " ".join(VOLATILE.sub("", str(data)).split())
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    return image.size, image.convert("RGBA").tobytes()


def shown(outputs):
    "What the outputs of a cell show; where the kernel cuts printed text and how it names widgets does not count."
    found = []
    for output in outputs:
        parts = {output.name: output.text} if output.output_type == "stream" else output.get("data", {})
        for kind, data in parts.items():
            if output.output_type == "stream" and found and found[-1][0] == kind: found[-1][1] += data
            elif not kind.endswith("widget-view+json"): found.append([kind, data])
    return [(kind, content(kind, data)) for kind, data in found]


def execute(path):
    "Run a notebook in its own folder and store its outputs; SystemExit where a cell fails, and nothing is stored."
    nb = nbformat.read(path, 4)
    stored = [cell.get("outputs", []) for cell in nb.cells]
    client = NotebookClient(nb, timeout=None, record_timing=False, store_widget_state=False,
                            resources={"metadata": {"path": str(path.parent)}},
                            extra_arguments=["--IPKernelApp.log_level=ERROR"])  # else it warns of TCP each time
    try: client.execute()
    except CellExecutionError as error: raise SystemExit(f"{path.name}: not stored, a cell failed\n{error}") from None
    for cell, before in zip(nb.cells, stored):
        if cell.cell_type == "code" and shown(before) == shown(cell.outputs): cell.outputs = before
    nbformat.write(nb, path)


def execute_all(paths):
    "Execute notebooks; those that show a trained run stay as they are where it is missing."
    for path in paths:
        os.environ["ARC_VAE_RUN"] = os.path.relpath(RUN, path.parent)
        if "ARC_VAE_RUN" in path.read_text(encoding="utf-8") and not (RUN/"metrics.json").exists():
            print(f"{path.name}: not executed, for it shows {RUN.name}: `arc-vae run --run {RUN.name} --set threads=1`")
            continue
        print(f"{path.name}: executing", flush=True)
        execute(path)


def main(*names):
    os.environ.pop("IN_TEST", None)  # nbdev does nothing while it is set
    os.environ |= dict(WANDB_MODE="offline", PYTHONWARNINGS="ignore")  # a warning names a file of this machine
    os.environ |= dict(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # last digits depend on the number of threads
    for path in NOTEBOOKS:
        nb = nbformat.read(path, 4)  # nbdev_clean keeps what JupyterLab stores of widgets
        if nb.metadata.pop("widgets", None): nbformat.write(nb, path)
    subprocess.check_call([Path(sys.executable).parent/"nbdev_export"], cwd=ROOT)  # notebooks import each other
    execute_all([Path(name).resolve() for name in names] or changed())
    subprocess.check_call([Path(sys.executable).parent/"nbdev_clean"], cwd=ROOT)


if __name__ == "__main__": main(*sys.argv[1:])

"""`make notebooks` executes only what was changed, and stored outputs stay where the new ones show the same."""
import base64
import io
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebooks import shown
from PIL import Image


def stream(text): return new_output("stream", name="stdout", text=text)


def picture(color, **options):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "png", **options)
    return new_output("display_data", data={"image/png": base64.b64encode(file.getvalue()).decode()})


@pytest.mark.parametrize("old, new, same", [
    ([stream("trained in 3.1 s, 9,000 grids/s")], [stream("trained in 12.4 s, 11,250 grids/s")], True),
    ([stream("<Thing at 0x7f00aa>")], [stream("<Thing at 0x7f11bb>")], True),
    ([stream("20261126-002158-smoke")], [stream("20261127-020814-smoke")], True),
    ([stream("loss 3.25")], [stream("loss 2.75")], False),
    ([stream("one\n"), stream("two\n")], [stream("one\nt"), stream("wo\n")], True),
    ([picture("red")], [picture("red", compress_level=0)], True),
    ([picture("red")], [picture("blue")], False),
    ([picture("red")], [stream("red")], False)])
def test_outputs_are_compared_by_what_they_show(old, new, same):
    assert old != new
    assert (shown(old) == shown(new)) == same


def run(folder, *words):
    "Output of a command in the small project."
    return subprocess.run(words, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


def test_a_changed_notebook_is_executed_and_its_diff_is_the_change(tmp_path):
    for name in ("tests/notebooks.py", "tests/density.py", "settings.ini", "arc_vae/__init__.py"):
        (tmp_path/name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT/name, tmp_path/name)
    (tmp_path/"arc_vae"/"__init__.py").write_text('__version__ = "0.1.0"\n')
    timed = new_code_cell("import time\nprint(f'{time.perf_counter():.6f} s')", outputs=[stream("1.000000 s\n")])
    one = new_code_cell("print(1)", outputs=[stream("1\n")])
    bad, waits = (new_code_cell(code, outputs=[stream("stored\n")]) for code in ("raise ValueError", "'ARC_VAE_RUN'"))
    (tmp_path/"nbs").mkdir()
    make = (sys.executable, "tests/notebooks.py")
    paths = {name: tmp_path/"nbs"/f"{name}.ipynb" for name in ("good", "bad", "waits")}
    for path, cells in zip(paths.values(), ([new_markdown_cell("# One"), timed, one], [bad], [waits])):
        nbformat.write(new_notebook(cells=cells), path)
    commit = "git init -q; git add -A; git -c user.name=a -c user.email=a@example.org commit -qm 'as it is'"
    run(tmp_path, "sh", "-c", commit)
    run(tmp_path, *make)  # nbdev's way of writing them
    run(tmp_path, "sh", "-c", commit)
    good = paths["good"].rename(tmp_path/"nbs"/"moved.ipynb")
    good.write_text(good.read_text().replace("# One", "# In other words"))
    assert "executing" not in run(tmp_path, *make), "neither moved notebooks nor changed words are executed"
    run(tmp_path, "sh", "-c", commit)
    good.write_text(good.read_text().replace("print(1)", "print(2)"))
    assert "moved.ipynb: executing" in run(tmp_path, *make)
    assert run(tmp_path, "git", "diff", "--numstat").split()[:2] == ["2", "2"], "the source and its output, no duration"
    assert "bad.ipynb: not stored, a cell failed" in run(tmp_path, *make, paths["bad"])
    assert "not executed" in run(tmp_path, *make, paths["waits"])
    for name in ("bad", "waits"): assert "stored" in paths[name].read_text()

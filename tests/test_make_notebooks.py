"""`make notebooks`: only what was changed is executed, and what says the same stays as it is stored."""
import base64
import io
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebooks import RUN, execute_all, keep_output, keep_outputs
from PIL import Image


def png(color, **options):
    "A picture of one color as a notebook stores it."
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "png", **options)
    return base64.b64encode(file.getvalue()).decode()


def stream(text):
    return new_output("stream", name="stdout", text=text)


def picture(data):
    return new_output("display_data", data={"image/png": data, "text/plain": "<Figure size 1x1>"})


@pytest.mark.parametrize("old, new", [
    ("trained in 3.1 s, 9,000 grids/s", "trained in 12.4 s, 11,250 grids/s"),
    ("2026-11-25 23:52 done", "2027-01-02 03:04 done"),
    ("<Thing at 0x7f00aa>", "<Thing at 0x7f11bb>"),
    ("20261126-002158-smoke", "20261127-020814-smoke"),
])
def test_text_that_differs_in_durations_only_stays(old, new):
    assert keep_output(stream(old), stream(new)).text == old


def test_lines_that_say_something_else_are_new():
    old = "epoch 1  loss 3.25  1.0 s\nepoch 2  loss 3.00  1.1 s\n"
    new = "epoch 1  loss 3.25  9.0 s\nepoch 2  loss 2.75  9.1 s\n"
    assert keep_output(stream(old), stream(new)).text == "epoch 1  loss 3.25  1.0 s\nepoch 2  loss 2.75  9.1 s\n"
    assert keep_output(stream(old), stream(new + "best\n")).text == new + "best\n"


def test_pictures_of_the_same_pixels_stay():
    old, same, other = png("red"), png("red", compress_level=0), png("blue")
    assert old != same
    assert keep_output(picture(old), picture(same)).data["image/png"] == old
    assert keep_output(picture(old), picture(other)).data["image/png"] == other


def test_another_kind_of_output_is_new():
    assert keep_output(stream("a"), picture(png("red"))).output_type == "display_data"
    assert keep_output(picture(png("red")), stream("a")).text == "a"


def test_where_printed_text_is_cut_makes_no_difference():
    stored = [stream("one\n"), stream("two\n"), picture(png("red"))]
    assert keep_outputs(stored, [stream("one\ntwo\n"), picture(png("red"))]) == stored
    assert keep_outputs(stored[:1], [stream("o"), stream("ne\n")]) == stored[:1]
    found = keep_outputs(stored, [stream("one\n"), stream("three\n"), stored[2]])
    assert [output.get("text") for output in found] == ["one\nthree\n", None]
    assert keep_outputs(stored, [stream("one\n")])[0].text == "one\n"


@pytest.fixture
def project(tmp_path):
    "A small project under git with two notebooks; the second one cannot be executed."
    (tmp_path/"tests").mkdir()
    for name in ("notebooks.py", "widget_state.py"):
        shutil.copy(ROOT/"tests"/name, tmp_path/"tests")
    shutil.copy(ROOT/"settings.ini", tmp_path)
    (tmp_path/"arc_vae").mkdir()
    (tmp_path/"arc_vae"/"__init__.py").write_text('__version__ = "0.1.0"\n')
    timed = new_code_cell("import time\nprint(f'{time.perf_counter():.6f} s')", id="timed",
                          outputs=[stream("1.000000 s\n")])
    one = new_code_cell("print('one')", id="one", outputs=[stream("one\n")])
    here = new_code_cell("from pathlib import Path\nprint(Path.cwd().name)", id="here", outputs=[stream("room\n")])
    first = new_notebook(cells=[new_markdown_cell("# First", id="title"), timed, one, here])
    fails = new_code_cell("raise ValueError('executed')", id="fails", outputs=[stream("as stored\n")])
    second = new_notebook(cells=[new_markdown_cell("# Second", id="title"), fails])
    (tmp_path/"nbs"/"room").mkdir(parents=True)
    for name, nb in (("first", first), ("second", second)):
        nbformat.write(nb, tmp_path/"nbs"/"room"/f"{name}.ipynb")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    make_notebooks(tmp_path)  # nbdev's way of writing them
    commit(tmp_path)
    return tmp_path


def git(folder, *words):
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "as it is")


def make_notebooks(folder, *names):
    done = subprocess.run([sys.executable, folder/"tests"/"notebooks.py", *names], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def test_a_changed_notebook_is_executed_and_its_diff_is_the_change(project):
    room = project/"nbs"/"room"
    first = (room/"first.ipynb").rename(room/"moved.ipynb")
    second = room/"second.ipynb"
    text = second.read_text()
    second.write_text(text.replace("# Second", "# Second, in other words"))
    code, said = make_notebooks(project)
    assert (code, "executing" in said) == (0, False), "neither a notebook that moved nor one whose words changed"

    first.write_text(first.read_text().replace("print('one')", "print('two')"))
    commit(project)
    first.write_text(first.read_text().replace("print('two')", "print('three')"))
    code, said = make_notebooks(project)
    assert code == 0, said
    assert "moved.ipynb: executing" in said
    added, removed, _ = git(project, "diff", "--numstat").split(None, 2)
    assert (added, removed) == ("2", "2"), "the source and its output, and no duration"

    code, said = make_notebooks(project, second)
    assert code == 1
    assert "second.ipynb: not stored, for a cell failed" in said
    assert "as stored" in second.read_text()


def test_a_notebook_that_shows_a_run_waits_for_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("notebooks.ROOT", tmp_path)
    monkeypatch.setattr("notebooks.RUN", tmp_path/"outputs"/RUN.name)
    for name in ("ARC_VAE_RUN", "WANDB_MODE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "")
    path = tmp_path/"shows.ipynb"
    path.write_text("ARC_VAE_RUN")
    execute_all([path])
    assert capsys.readouterr().out.startswith("shows.ipynb: not executed, for it shows outputs/default-seed0")
    assert path.read_text() == "ARC_VAE_RUN"

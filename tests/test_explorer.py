"""The explorer without a browser: what the widgets hold after each message that a browser could send."""
import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT

from arc_vae.apps import explorer as ex
from arc_vae.apps.edits import state_of
from arc_vae.code.network import make_vae
from arc_vae.data import OUTSIDE
from arc_vae.infra.runs import read_arrays
from arc_vae.latent_viz import project_pca


@pytest.fixture
def explorer(evaluated):
    "An explorer whose model counts how often it decodes."
    made = ex.explore(evaluated)
    decode, made.vae.decoded = made.vae.decode, 0

    def count(z, **kw):
        made.vae.decoded += 1
        return decode(z, **kw)

    made.vae.decode = count
    return made


@pytest.fixture(scope="module")
def e(evaluated): return read_arrays(evaluated, "evaluation")


def turn(explorer, d, value):
    "What arrives when a person moves slider d."
    z = list(explorer.sliders.z)
    z[d] = value
    explorer.sliders.set_state(dict(z=z))


def click(explorer, i):
    "What arrives when a person clicks the point of test grid i on the map."
    explorer.map.view._handle_custom_msg(dict(picked=i), [])


def act(explorer, action, **details):
    "What arrives when a person does something to an object."
    explorer.decoded._handle_custom_msg(dict(action=action, **details), [])
    check_truthful(explorer)


def check_truthful(explorer):
    "Picture and probabilities are what the decoder says."
    vae = explorer.vae
    assert explorer.decoded.grid == vae.decode(explorer.z)[0].tolist()
    probability = vae.decode(explorer.z, logits=True)[0].softmax(0).amax(0)
    assert torch.allclose(torch.tensor(explorer.decoded.probability), probability, atol=1e-4)


def test_a_slider_moves_the_grid(explorer):
    check_truthful(explorer)
    pictures = set()
    for row in explorer.sliders.rows:
        d, low, high = row["index"], row["low"], row["high"]
        for value in (low, high, 7.5):
            turn(explorer, d, value)
            check_truthful(explorer)
            assert explorer.z[d] == torch.tensor(value)
            pictures.add(str(explorer.decoded.grid))
    assert len(pictures) > 3


def test_a_click_on_the_map_goes_there(explorer, e):
    for i in (0, len(e["x"]) - 1, 3):
        decoded_before = explorer.vae.decoded
        click(explorer, i)
        assert explorer.vae.decoded == decoded_before + 1
        check_truthful(explorer)
        assert np.array_equal(explorer.z.numpy(), e["mu"][i])
        original = e["x"][i]
        assert explorer.original.grid == explorer.decoded.against == original.tolist()
        assert explorer.original.caption == f"original: test grid #{i}"
        wrong = (explorer.decoded.grid != original).sum()
        assert explorer.decoded.caption == f"decoded: {wrong} of 256 cells differ"


def test_the_ring_is_where_the_sliders_are(explorer, e):
    points = np.frombuffer(explorer.map.view.points, np.float32).reshape(-1, 2)
    pca, _ = project_pca(e["mu"])
    assert np.allclose((points - points[0])*np.ptp(pca, axis=0).max(), pca - pca[0], atol=1e-4), "as in the report"
    click(explorer, 5)
    assert np.allclose(explorer.map.view.here, points[5], atol=1e-4)
    halfway = (e["mu"][5] + e["mu"][9])/2
    explorer.move(state_of(halfway))
    assert np.allclose(explorer.map.view.here, (points[5] + points[9])/2, atol=1e-4), "a projection is linear"


def test_the_line_from_a_to_b(explorer, e):
    for i, end in ((1, "A"), (2, "B")):
        click(explorer, i)
        explorer.buttons[f"set {end}"].click()
    start, end = torch.from_numpy(e["mu"][[1, 2]])
    for value in (.75, .3, 0, 1):
        explorer.line.set_state(dict(z=[value]))
        check_truthful(explorer)
        assert torch.equal(explorer.z, torch.lerp(start, end, value))
        assert not explorer.decoded.against


def test_undo_goes_through_all_places(explorer, e):
    beginning = explorer.state
    click(explorer, 4)
    turn(explorer, 0, .5)  # by hand, then away: this place counts too
    by_hand = explorer.z
    explorer.random_prior()
    explorer.undo()
    assert torch.equal(explorer.z, by_hand)
    check_truthful(explorer)
    explorer.undo()
    assert np.array_equal(explorer.z.numpy(), e["mu"][4])
    assert explorer.original.grid == e["x"][4].tolist()
    turn(explorer, 1, -.5)
    explorer.undo()
    assert np.array_equal(explorer.z.numpy(), e["mu"][4]), "what was moved by hand goes back first"
    for _ in range(3): explorer.undo()
    assert explorer.state == beginning, "to the beginning and no farther"
    check_truthful(explorer)


def test_a_hundred_changes_are_few_pictures_and_the_last_is_drawn(explorer):
    async def drag(wait):
        for value in np.linspace(-1, 1, 100):
            turn(explorer, 0, float(value))
            await asyncio.sleep(0)
        while wait and explorer.soon.due: await asyncio.sleep(.01)
    asyncio.run(drag(wait=True))
    assert explorer.decoded.grid == explorer.vae.decode(explorer.z)[0].tolist(), "drawn without being asked"
    explorer.soon.pause = 3600  # so that the machine's speed does not matter
    decoded_before = explorer.vae.decoded
    asyncio.run(drag(wait=False))
    explorer.soon.settle()
    assert explorer.vae.decoded == decoded_before + 1
    assert explorer.z[0] == 1
    check_truthful(explorer)


def test_the_same_clicks_bring_the_same_places(evaluated):
    def places(seed):
        explorer = ex.explore(evaluated, seed)
        for name in ("random test grid", "random prior sample", "random test grid"):
            explorer.buttons[name].click()
        return explorer.history
    assert places(1) == places(1) != places(2)


DAMAGE = dict(missing=Path.unlink, damaged=lambda path: path.write_bytes(path.read_bytes()[:100]))


@pytest.mark.parametrize("name", ["evaluation.npz", "metrics.json", "checkpoints/vae_best.pth"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_missing_is_one_line(evaluated, tmp_path, name, damage):
    run = shutil.copytree(evaluated, tmp_path/"run")
    DAMAGE[damage](run/name)
    message = ex.explore(run).value
    assert name in message
    assert "\n" not in message


def test_without_anywidget_it_says_what_to_install():
    code = "import sys; sys.modules['anywidget'] = None\nimport arc_vae.apps.explorer"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: the explorer needs anywidget and ipywidgets: pip install 'arc_vae[run]'")


def test_a_run_gets_a_notebook_that_explores_it(evaluated, tmp_path, monkeypatch):
    "Whatever lies in the run's folder or where the notebook goes, only what is written here is opened and run."
    from arc_vae.apps.run import explorer_notebook
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(evaluated, tmp_path/"outputs"/"<b>run's {x}")
    (run/"explore.ipynb").write_text("from somebody else")
    for _ in range(2):
        path = explorer_notebook(run)
        assert path.parent == tmp_path/"outputs"
        title, cell = nbformat.read(path, as_version=4).cells
        path.write_text("from somebody else")
    assert "&lt;b&gt;" in title.source
    monkeypatch.chdir(path.parent)
    names = {}
    exec(cell.source.replace("\nexplore(", "\nfound = explore("), names)
    assert isinstance(names["found"], ex.Explorer)


def test_a_drag_is_one_step_of_the_history(explorer):
    click(explorer, 3)
    z, steps = explorer.z, len(explorer.history)
    for down, right in ((1, 0), (1, 2), (2, 3)): act(explorer, "drag", object=0, down=down, right=right)
    act(explorer, "release", object=0)
    assert torch.allclose((explorer.z - z)[:4]/explorer.vae.axes[0].step, torch.tensor([2., 3, 0, 0]))
    assert len(explorer.history) == steps + 1
    for down in (1, 0): act(explorer, "drag", object=0, down=down, right=0)
    act(explorer, "release", object=0)
    assert len(explorer.history) == steps + 1, "put back where it was taken"
    explorer.undo()
    assert torch.equal(explorer.z, z)


def test_what_cannot_be_done_is_said(explorer):
    click(explorer, 0)
    z = explorer.z
    for action, details in dict(move=dict(object=5, down=1, right=0), recolor=dict(by=9), drop=dict(object=3)).items():
        explorer.message.value = ""
        act(explorer, action, **details)
        assert explorer.message.value
        assert "\n" not in explorer.message.value
        assert torch.equal(explorer.z, z)
    explorer.buttons["delete"].click()
    assert "select an object" in explorer.message.value


def test_the_script_comes_to_the_same_grid(explorer):
    act(explorer, "move", object=0, down=1, right=-1)
    act(explorer, "recolor", object=0, by=1 - int(explorer.vae.decode_objects(explorer.z).color[0]))
    explorer.operators["mirror"].click()
    turn(explorer, 0, -.5)
    act(explorer, "move", object=0, down=0, right=1)
    explorer.buttons["join B"].click()
    names = {}
    exec(explorer.python.value, names)
    assert torch.equal(names["z"][0], explorer.z)
    assert names["grid"].tolist() == explorer.decoded.grid


def test_a_canvas_has_sliders_and_edits_keep_to_it(canvas_model):
    explorer = ex.Explorer(canvas_model, ex.atlas_of_model(canvas_model, 60))
    sizes = explorer.sliders.rows[:3]
    assert [row["title"].split(", ")[1] for row in sizes] == ["grid: height", "grid: width", "grid: background"]
    exact = [i for i in range(60) if explorer.atlas.attributes["wrong cells"][i] == 0][:20]
    assert len(exact) > 10
    for i in exact:
        explorer.go_to_grid(i)
        for name in ("turn", "mirror", "→"): explorer.operators[name].click()
        assert explorer.decoded.grid == explorer.original.grid
        explorer.clear_board()
        outside = [[color == OUTSIDE for color in row] for row in explorer.decoded.grid]
        assert [[color == OUTSIDE for color in row] for row in explorer.board.grid] == outside
        slots = [each["slot"] for each in explorer.decoded.objects]
        if slots: act(explorer, "drop", object=slots[0])
        assert [each["slot"] for each in explorer.decoded.objects] == slots[1:]
    for n in (1, 7, 16):
        turn(explorer, sizes[0]["index"], canvas_model.axes[-3].step*(n - 8.5))
        check_truthful(explorer)
        assert explorer.sliders.readings[-3]["text"] == f"{n} row{'s'*(n > 1)}"
        assert sum(row[0] < OUTSIDE for row in explorer.decoded.grid) == n


def test_a_network_without_axes_has_plain_sliders():
    vae = make_vae("reference")
    explorer = ex.Explorer(vae, ex.atlas_of_model(vae, 50))
    assert not explorer.decoded.movable
    assert not explorer.operators
    turn(explorer, 2, .5)
    assert explorer.decoded.grid == vae.decode(explorer.z)[0].tolist()
    assert explorer.sliders.rows[0]["name"] == ""

"""The explorer without a browser: what the widgets hold after each message that a browser could send."""
import asyncio
import json
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT

from arc_vae.apps import explorer as ex
from arc_vae.code.pretrained import load
from arc_vae.infra.runs import read_evaluation


class Counted:
    "A model that counts how often it decodes."
    def __init__(self, vae):
        self.vae = vae
        self.decoded = 0

    def encode(self, grids): return self.vae.encode(grids)

    def decode(self, z, **kw):
        self.decoded += 1
        return self.vae.decode(z, **kw)


@pytest.fixture
def explorer(evaluated):
    made = ex.explore(evaluated)
    made.vae = Counted(made.vae)
    return made


@pytest.fixture(scope="module")
def e(evaluated): return read_evaluation(evaluated)


def turn(explorer, d, value):
    "What arrives when a person moves slider d."
    z = list(explorer.sliders.z)
    z[d] = value
    explorer.sliders.set_state(dict(z=z))


def click(explorer, i):
    "What arrives when a person clicks the point of test grid i on the map."
    explorer.map._handle_custom_msg(dict(picked=i), [])


def points(explorer):
    "Where the test grids lie on the map, float32 (N, 2)."
    return np.frombuffer(explorer.map.points, np.float32).reshape(-1, 2)


def check_truthful(explorer):
    "Picture, attributes and text say what the decoder says."
    vae = explorer.vae.vae
    grid = vae.decode(explorer.z)[0].tolist()
    said = json.loads(explorer.json.value)
    assert explorer.grid.tolist() == grid
    assert explorer.decoded.grid == grid
    assert said["grid"] == grid
    assert torch.equal(torch.tensor(said["z"]), explorer.z)
    probability = vae.decode(explorer.z, logits=True)[0].softmax(0).amax(0)
    assert torch.allclose(torch.tensor(explorer.decoded.probability), probability, atol=1e-4)


def test_a_slider_moves_the_grid(explorer):
    check_truthful(explorer)
    assert not explorer.z.any()
    kl = [row[1] for row in explorer.sliders.rows]
    assert kl == sorted(kl, reverse=True)
    pictures = {json.dumps(explorer.decoded.grid)}
    for d, _, low, high in explorer.sliders.rows:
        assert low < high
        for value in (low, high, 7.5):
            turn(explorer, d, value)
            check_truthful(explorer)
            assert explorer.z[d] == torch.tensor(value)
            pictures.add(json.dumps(explorer.decoded.grid))
    assert len(pictures) > 3


def test_a_click_on_the_map_goes_there(explorer, e):
    for i in (0, len(e["x"]) - 1, 3):
        decoded_before = explorer.vae.decoded
        click(explorer, i)
        assert explorer.vae.decoded == decoded_before + 1
        check_truthful(explorer)
        assert np.array_equal(explorer.z.numpy(), e["mu"][i])
        assert explorer.number.value == i
        original = e["x"][i]
        assert explorer.original.grid == original.tolist()
        assert explorer.original.caption == f"original: test grid #{i}"
        assert explorer.decoded.against == original.tolist()
        wrong = (explorer.grid != original).sum()
        assert explorer.decoded.caption == f"decoded: {wrong} of 256 cells differ"


def test_the_ring_is_where_the_sliders_are(explorer, e, evaluated):
    maps = dict(np.load(evaluated/"latent.npz"))
    pca, tsne = maps["pca"], maps["tsne"]
    click(explorer, 5)
    assert np.allclose(explorer.map.here, pca[5], atol=1e-4)
    assert np.array_equal(points(explorer), pca)
    halfway = (e["mu"][5] + e["mu"][9])/2
    explorer.move(halfway)
    assert np.allclose(explorer.map.here, (pca[5] + pca[9])/2, atol=1e-4), "a projection is linear"
    explorer.method.value = "tsne"
    nearest = int(np.linalg.norm(e["mu"] - halfway, axis=1).argmin())
    assert explorer.map.here == tsne[nearest].tolist()
    assert f"#{nearest}" in explorer.map.caption
    assert np.array_equal(points(explorer), tsne)


def test_the_map_has_three_colorings(explorer):
    explorer.method.value = "tsne"
    assert explorer.color_by.options == ("main color", "colored cells", "objects")
    colorings = {bytes(explorer.map.colors)}
    for choice in explorer.color_by.options[1:]:
        explorer.color_by.value = choice
        colorings.add(bytes(explorer.map.colors))
    assert len(colorings) == 3


def test_the_line_from_a_to_b(explorer, e):
    assert explorer.line.disabled
    click(explorer, 1)
    explorer.buttons["set A"].click()
    assert explorer.line.disabled
    assert explorer.thumbs["A"].grid == explorer.decoded.grid
    click(explorer, 2)
    explorer.buttons["set B"].click()
    assert not explorer.line.disabled
    assert explorer.line.value == 1
    start, end = torch.from_numpy(e["mu"][[1, 2]])
    for value in (0, .3, .75, 1):
        explorer.line.value = value
        check_truthful(explorer)
        assert torch.equal(explorer.z, torch.lerp(start, end, value))
        assert not explorer.decoded.against
    assert np.array_equal(explorer.z.numpy(), e["mu"][2])


def test_what_is_drawn_lands_where_the_encoder_says(explorer):
    drawn = ex.blank()
    for row, column in ((2, 3), (2, 4), (3, 3), (3, 4)): drawn[row][column] = 4
    explorer.board.set_state(dict(grid=drawn))
    explorer.buttons["where does it land?"].click()
    check_truthful(explorer)
    assert torch.equal(explorer.z, explorer.vae.encode(drawn)[0])
    assert explorer.original.grid == drawn
    assert "the drawing" in explorer.original.caption
    explorer.text.value = "044\n440"
    assert explorer.board.grid[0][:3] == [0, 4, 4]
    assert explorer.board.grid[1][:3] == [4, 4, 0]
    assert np.sum(explorer.board.grid) == 16
    assert explorer.message.value == ""
    explorer.buttons["take the decoded grid"].click()
    assert explorer.board.grid == explorer.decoded.grid
    explorer.buttons["clear"].click()
    assert explorer.board.grid == ex.blank()
    assert explorer.text.value == ""


NO_GRIDS = [
    "[[1, 2], [3]]", "[[1, 99]]", "01x", "[[", "0"*17, "[1, 2]", '[[1, "a"]]', "["*5000, "\n".join("0"*17)]


@pytest.mark.parametrize("text", NO_GRIDS)
def test_a_bad_grid_is_one_line(explorer, text):
    grid_before = explorer.board.grid
    explorer.text.value = text
    assert 0 < len(explorer.message.value) < 150
    assert "\n" not in explorer.message.value
    assert explorer.board.grid == grid_before
    explorer.text.value = "[[3]]"
    assert explorer.message.value == ""
    assert explorer.board.grid[0][0] == 3


def test_back_goes_through_all_places(explorer, e):
    click(explorer, 4)
    turn(explorer, 0, .5)  # by hand, then away: this place counts too
    by_hand = explorer.z
    explorer.random_prior()
    explorer.back()
    assert torch.equal(explorer.z, by_hand)
    check_truthful(explorer)
    explorer.back()
    assert np.array_equal(explorer.z.numpy(), e["mu"][4])
    assert explorer.original.grid == e["x"][4].tolist()
    turn(explorer, 1, -.5)
    explorer.back()
    assert np.array_equal(explorer.z.numpy(), e["mu"][4]), "what was moved by hand goes back first"
    for _ in range(3): explorer.back()
    assert not explorer.z.any(), "to the beginning and no farther"
    check_truthful(explorer)


def test_a_hundred_changes_are_few_pictures(explorer):
    async def drag():
        for value in np.linspace(-1, 1, 100):
            turn(explorer, 0, float(value))
            await asyncio.sleep(0)
        return explorer.grid
    explorer.soon.pause = 3600  # so that the machine's speed does not matter
    decoded_before = explorer.vae.decoded
    grid = asyncio.run(drag())
    assert explorer.vae.decoded == decoded_before + 1
    assert explorer.z[0] == 1
    check_truthful(explorer)
    assert grid.tolist() == explorer.decoded.grid


def test_the_last_of_many_changes_is_drawn_unasked(explorer):
    async def drag():
        for value in np.linspace(-1, 1, 100): turn(explorer, 0, float(value))
        while explorer.soon.due: await asyncio.sleep(.01)
    asyncio.run(drag())
    assert explorer.decoded.grid == explorer.vae.decode(explorer.z)[0].tolist()
    assert explorer.z[0] == 1


def test_the_same_clicks_bring_the_same_places(evaluated):
    def places(seed):
        explorer = ex.explore(evaluated, seed)
        for name in ("random test grid", "random prior sample", "random test grid"):
            explorer.buttons[name].click()
        return explorer.history
    assert places(1) == places(1) != places(2)


def test_it_leaves_a_picture_where_it_is_dead(explorer):
    click(explorer, 0)
    data, _ = explorer._repr_mimebundle_()
    assert data["image/png"][:4] == b"\x89PNG"
    assert "application/vnd.jupyter.widget-view+json" in data


def remove(path): path.unlink()


def cut_short(path): path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("name", ["evaluation.npz", "metrics.json", "checkpoints/vae_best.pth"])
@pytest.mark.parametrize("damage", [remove, cut_short], ids=["missing", "damaged"])
def test_what_is_missing_is_one_line(evaluated, tmp_path, name, damage):
    run = shutil.copytree(evaluated, tmp_path/"run")
    damage(run/name)
    message = ex.explore(run).value
    assert name in message
    assert "\n" not in message


def test_without_tsne_the_map_is_pca(evaluated, tmp_path):
    run = shutil.copytree(evaluated, tmp_path/"run")
    (run/"latent.npz").unlink()
    explorer = ex.explore(run)
    assert explorer.method.options == (("PCA", "pca"),)
    assert not (run/"latent.npz").exists()
    assert np.allclose(points(explorer), np.load(evaluated/"latent.npz")["pca"])


def test_without_anywidget_it_says_what_to_install():
    code = "import sys; sys.modules['anywidget'] = None\nimport arc_vae.apps.explorer"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode
    assert done.stderr.strip().splitlines()[-1] == (
        "ImportError: the explorer needs anywidget and ipywidgets: pip install 'arc_vae[notebook]'")


def test_models_load_as_they_are(evaluated, explorer):
    z = torch.randn(1, 10, generator=torch.Generator().manual_seed(0))
    explorer.move(z[0])
    assert explorer.decoded.grid == load(evaluated).decode(z)[0].tolist()


def test_a_run_gets_a_notebook_that_explores_it(evaluated, tmp_path, monkeypatch):
    from arc_vae.apps.cli import explorer_notebook
    run = tmp_path/"run with a space"
    shutil.copytree(evaluated, run)
    path = explorer_notebook(run)
    cell = next(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    source = cell.source.replace("explore(Path", "found = explore(Path")
    monkeypatch.chdir(run)
    names = {}
    exec(compile(source, path.name, "exec"), names)
    assert isinstance(names["found"], ex.Explorer)
    path.write_text("mine")
    assert explorer_notebook(run).read_text() == "mine", "what somebody made of it stays"

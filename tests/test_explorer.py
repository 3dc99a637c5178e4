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

from arc_vae import explorer as ex
from arc_vae.checkpoint import load
from arc_vae.evaluate import read_evaluation


class Counted:
    "A model that counts how often it decodes."
    def __init__(self, vae): self.vae, self.decoded = vae, 0
    def encode(self, grids): return self.vae.encode(grids)
    def decode(self, z, **kw): self.decoded += 1; return self.vae.decode(z, **kw)


@pytest.fixture
def explorer(evaluated):
    made = ex.explore(evaluated)
    made.vae = Counted(made.vae)
    return made


@pytest.fixture(scope="module")
def e(evaluated): return read_evaluation(evaluated)


def turn(explorer, d, value):
    "What arrives when a person moves slider d."
    explorer.sliders.set_state(dict(z=[value if k == d else v for k, v in enumerate(explorer.sliders.z)]))


def click(explorer, i): explorer.map._handle_custom_msg(dict(picked=i), [])


def truthful(explorer):
    "Picture, attributes and text say what the decoder says."
    grid, said = explorer.vae.vae.decode(explorer.z)[0], json.loads(explorer.json.value)
    p = explorer.vae.vae.decode(explorer.z, logits=True)[0].softmax(0).amax(0)
    return (explorer.grid.tolist() == explorer.decoded.grid == said["grid"] == grid.tolist() and torch.equal(torch.tensor(said["z"]), explorer.z)
            and torch.allclose(torch.tensor(explorer.decoded.probability), p, atol=1e-4))


def test_a_slider_moves_the_grid(explorer):
    assert truthful(explorer) and not explorer.z.any()
    assert [row[1] for row in explorer.sliders.rows] == sorted((row[1] for row in explorer.sliders.rows), reverse=True)
    pictures = {json.dumps(explorer.decoded.grid)}
    for d, _, low, high in explorer.sliders.rows:
        assert low < high
        for value in (low, high, 7.5):
            turn(explorer, d, value)
            assert truthful(explorer) and explorer.z[d] == torch.tensor(value)
            pictures.add(json.dumps(explorer.decoded.grid))
    assert len(pictures) > 3


def test_a_click_on_the_map_goes_there(explorer, e):
    for i in (0, len(e["x"]) - 1, 3):
        before = explorer.vae.decoded
        click(explorer, i)
        assert explorer.vae.decoded == before + 1 and truthful(explorer)
        assert np.array_equal(explorer.z.numpy(), e["mu"][i]) and explorer.original.grid == e["x"][i].tolist() == explorer.decoded.against and explorer.number.value == i
        assert explorer.decoded.caption == f"decoded: {(explorer.grid != e['x'][i]).sum()} of 256 cells differ" and explorer.original.caption == f"original: test grid #{i}"


def test_the_ring_is_where_the_sliders_are(explorer, e, evaluated):
    maps = dict(np.load(evaluated/"latent.npz"))
    click(explorer, 5)
    assert np.allclose(explorer.map.here, maps["pca"][5], atol=1e-4) and np.array_equal(np.frombuffer(explorer.map.points, np.float32).reshape(-1, 2), maps["pca"])
    half = (e["mu"][5] + e["mu"][9])/2
    explorer.move(half)
    assert np.allclose(explorer.map.here, (maps["pca"][5] + maps["pca"][9])/2, atol=1e-4), "a projection is linear"
    explorer.method.value = "tsne"
    nearest = int(np.linalg.norm(e["mu"] - half, axis=1).argmin())
    assert explorer.map.here == maps["tsne"][nearest].tolist() and f"#{nearest}" in explorer.map.caption and np.array_equal(np.frombuffer(explorer.map.points, np.float32).reshape(-1, 2), maps["tsne"])
    seen = {bytes(explorer.map.colors)}
    for choice in explorer.color_by.options[1:]: explorer.color_by.value = choice; seen.add(bytes(explorer.map.colors))
    assert explorer.color_by.options == ("main color", "colored cells", "objects") and len(seen) == 3


def test_the_line_from_a_to_b(explorer, e):
    assert explorer.line.disabled
    click(explorer, 1)
    explorer.buttons["set A"].click()
    assert explorer.line.disabled and explorer.thumbs["A"].grid == explorer.decoded.grid
    click(explorer, 2)
    explorer.buttons["set B"].click()
    assert not explorer.line.disabled and explorer.line.value == 1
    for value in (0, .3, .75, 1):
        explorer.line.value = value
        assert truthful(explorer) and torch.equal(explorer.z, torch.lerp(*torch.from_numpy(e["mu"][[1, 2]]), value)) and not explorer.decoded.against
    assert np.array_equal(explorer.z.numpy(), e["mu"][2])


def test_what_is_drawn_lands_where_the_encoder_says(explorer):
    drawn = ex.blank()
    for row, column in ((2, 3), (2, 4), (3, 3), (3, 4)): drawn[row][column] = 4
    explorer.board.set_state(dict(grid=drawn))
    explorer.buttons["where does it land?"].click()
    assert truthful(explorer) and torch.equal(explorer.z, explorer.vae.encode(drawn)[0]) and explorer.original.grid == drawn and "the drawing" in explorer.original.caption
    explorer.text.value = "044\n440"
    assert explorer.board.grid[0][:3] == [0, 4, 4] and explorer.board.grid[1][:3] == [4, 4, 0] and np.sum(explorer.board.grid) == 16 and explorer.message.value == ""
    explorer.buttons["take the decoded grid"].click()
    assert explorer.board.grid == explorer.decoded.grid
    explorer.buttons["clear"].click()
    assert explorer.board.grid == ex.blank() and explorer.text.value == ""


@pytest.mark.parametrize("text", ["[[1, 2], [3]]", "[[1, 99]]", "01x", "[[", "0"*17, "[1, 2]", '[[1, "a"]]', "["*5000, "\n".join("0"*17)])
def test_a_bad_grid_is_one_line(explorer, text):
    before = explorer.board.grid
    explorer.text.value = text
    assert 0 < len(explorer.message.value) < 150 and "\n" not in explorer.message.value and explorer.board.grid == before
    explorer.text.value = "[[3]]"
    assert explorer.message.value == "" and explorer.board.grid[0][0] == 3


def test_back_goes_through_all_places(explorer, e):
    click(explorer, 4)
    turn(explorer, 0, .5)  # by hand, then away: this place counts too
    by_hand = explorer.z
    explorer.random_prior()
    explorer.back()
    assert torch.equal(explorer.z, by_hand) and truthful(explorer)
    explorer.back()
    assert np.array_equal(explorer.z.numpy(), e["mu"][4]) and explorer.original.grid == e["x"][4].tolist()
    turn(explorer, 1, -.5)
    explorer.back()
    assert np.array_equal(explorer.z.numpy(), e["mu"][4]), "what was moved by hand goes back first"
    for _ in range(3): explorer.back()
    assert not explorer.z.any() and truthful(explorer), "to the beginning and no farther"


def test_a_hundred_changes_are_few_pictures(explorer):
    async def drag():
        for value in np.linspace(-1, 1, 100):
            turn(explorer, 0, float(value))
            await asyncio.sleep(0)
        return explorer.grid
    explorer.soon.pause, before = 3600, explorer.vae.decoded  # so that the machine's speed does not matter
    grid = asyncio.run(drag())
    assert explorer.vae.decoded == before + 1 and explorer.z[0] == 1 and truthful(explorer) and grid.tolist() == explorer.decoded.grid


def test_the_last_of_many_changes_is_drawn_unasked(explorer):
    async def drag():
        for value in np.linspace(-1, 1, 100): turn(explorer, 0, float(value))
        while explorer.soon.due: await asyncio.sleep(.01)
    asyncio.run(drag())
    assert explorer.decoded.grid == explorer.vae.decode(explorer.z)[0].tolist() and explorer.z[0] == 1


def test_the_same_clicks_bring_the_same_places(evaluated):
    def places(seed):
        explorer = ex.explore(evaluated, seed)
        for name in ("random test grid", "random prior sample", "random test grid"): explorer.buttons[name].click()
        return explorer.history
    assert places(1) == places(1) != places(2)


def test_it_leaves_a_picture_where_it_is_dead(explorer):
    click(explorer, 0)
    data, _ = explorer._repr_mimebundle_()
    assert data["image/png"][:4] == b"\x89PNG" and "application/vnd.jupyter.widget-view+json" in data


@pytest.mark.parametrize("name", ["evaluation.npz", "metrics.json", "checkpoints/vae_best.pth"])
@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:100])], ids=["missing", "damaged"])
def test_what_is_missing_is_one_line(evaluated, tmp_path, name, damage):
    run = shutil.copytree(evaluated, tmp_path/"run")
    damage(run/name)
    said = ex.explore(run).value
    assert name in said and "\n" not in said


def test_without_tsne_the_map_is_pca(evaluated, tmp_path):
    run = shutil.copytree(evaluated, tmp_path/"run")
    (run/"latent.npz").unlink()
    explorer = ex.explore(run)
    assert explorer.method.options == (("PCA", "pca"),) and not (run/"latent.npz").exists()
    assert np.allclose(np.frombuffer(explorer.map.points, np.float32).reshape(-1, 2), np.load(evaluated/"latent.npz")["pca"])


def test_without_anywidget_it_says_what_to_install():
    code = "import sys; sys.modules['anywidget'] = None\nimport arc_vae.explorer"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode and done.stderr.strip().splitlines()[-1] == "ImportError: the explorer needs anywidget and ipywidgets: pip install 'arc_vae[notebook]'"


def test_models_load_as_they_are(evaluated, explorer):
    z = torch.randn(1, 10, generator=torch.Generator().manual_seed(0))
    explorer.move(z[0])
    assert explorer.decoded.grid == load(evaluated).decode(z)[0].tolist()


def test_a_run_gets_a_notebook_that_explores_it(evaluated, tmp_path, monkeypatch):
    from arc_vae.cli import explorer_notebook
    shutil.copytree(evaluated, run := tmp_path/"run with a space")
    path = explorer_notebook(run)
    cell = next(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    monkeypatch.chdir(run)
    exec(compile(cell.source.replace("explore(Path", "found = explore(Path"), path.name, "exec"), names := {})
    assert isinstance(names["found"], ex.Explorer)
    path.write_text("mine")
    assert explorer_notebook(run).read_text() == "mine", "what somebody made of it stays"

"""The explorer as a person meets it: real JupyterLab, real Chromium, a mouse and a keyboard."""
import re

import numpy as np
import pytest
import torch
from browsing import find_chromium, jupyter_lab, opened

from arc_vae.apps.export import write_page
from arc_vae.code.network import load
from arc_vae.corpus.formats import arc_tasks
from arc_vae.data import OUTSIDE
from arc_vae.infra.checkpoint import save_checkpoint
from arc_vae.infra.runs import read_arrays
from arc_vae.latent_viz import project_pca


@pytest.fixture(scope="module")
def person(evaluated, tmp_path_factory):
    "One browser for all tests of this file."
    chromium = find_chromium()
    if not chromium: pytest.skip("no Chromium here, and no package manager that may install it")
    with jupyter_lab(evaluated, tmp_path_factory.mktemp("lab")) as address, opened(address, chromium) as person:
        yield person


@pytest.fixture(scope="module")
def model(evaluated):
    return load(evaluated)


@pytest.fixture(scope="module")
def e(evaluated):
    return read_arrays(evaluated, "evaluation")


def drag(mouse, start, end, steps=12):
    "Press at one point, move to another, release."
    mouse.move(*start)
    mouse.down()
    mouse.move(*end, steps=steps)
    mouse.up()


def cell_middle(canvas, row, column):
    "Where on the page the middle of a cell is."
    box = canvas.bounding_box()
    side = box["width"]/16
    return box["x"] + (column + .5)*side, box["y"] + (row + .5)*side


@pytest.fixture
def telling(person, model, e):
    "Two sliders between whose ends the picture changes when all others are at 0, where all now are."
    if person.z().any(): person.after(lambda: person.button("reset"), model)
    found = []
    for d in range(10):
        low, high = torch.zeros(2, 10)
        low[d], high[d] = (float(v) for v in np.quantile(e["mu"][:, d], (.02, .98)))
        if len(model.decode(torch.stack([low, high, torch.zeros(10)])).unique(dim=0)) == 3: found.append(d)
    return found[:2]


def test_two_sliders_by_keyboard_and_mouse(person, model, telling):
    keyboard = person.page.keyboard
    first, second = telling
    person.slider(first).focus()
    highest, right = person.after(lambda: keyboard.press("End"), model)
    assert highest[first] > 0 and highest.count_nonzero() == 1
    lowest, left = person.after(lambda: keyboard.press("Home"), model)
    assert lowest[first] < 0 and (left != right).any()
    next_to_it, _ = person.after(lambda: keyboard.press("ArrowRight"), model)
    assert abs(next_to_it[first] - lowest[first] - .01) < 1e-5
    assert person.page.locator(".jp-Cell").count() == 2, "the notebook did not take the key for itself"

    box = person.slider(second).bounding_box()
    ends = [(box["x"] + share*box["width"], box["y"] + box["height"]/2) for share in (.5, .99)]
    pulled, _ = person.after(lambda: drag(person.page.mouse, *ends, steps=100), model)  # each step is a message
    assert (pulled != next_to_it).nonzero().flatten().tolist() == [second]
    assert all(abs(pulled[d] - v) < .00501 for d, v in person.numbers().items())


class Map:
    "The map of the explorer, and where its points are seen."
    def __init__(self, person, points, size=384, margin=12):
        low, high = points.min(0), points.max(0)
        scale = (size - 2*margin)/(high - low).max()
        self.places = size/2 + (points - (low + high)/2)*scale*[1, -1]
        self.canvas = person.page.locator("canvas[data-here]")
        self.canvas.scroll_into_view_if_needed()
        self.scale = self.canvas.bounding_box()["width"]/size

    def click(self, x, y): self.canvas.click(position=dict(x=x*self.scale, y=y*self.scale))

    def picked(self): return int(self.canvas.get_attribute("data-picked"))


def test_the_map_by_mouse_and_keyboard(person, model, e):
    "Clicked and walked over by keyboard: what is taken is what is seen there, and it is told below."
    chart, keyboard = Map(person, project_pca(e["mu"])[0]), person.page.keyboard
    z, grid = person.after(lambda: chart.click(180, 170), model)
    assert np.array_equal(z.numpy(), e["mu"][chart.picked()])
    assert np.array_equal(person.pixels(person.original), e["x"][chart.picked()])
    wrong = (grid != e["x"][chart.picked()]).sum()
    assert f"{wrong} of 256" in person.decoded.get_attribute("aria-label")

    picked = chart.picked()
    assert picked == ((chart.places - [180, 170])**2).sum(1).argmin()

    def step_right():
        keyboard.press("ArrowRight")
        keyboard.press("Enter")

    chart.canvas.focus()
    person.page.mouse.move(0, 0)
    z, _ = person.after(step_right, model)
    stepped = chart.picked()
    away = chart.places - chart.places[picked]
    ahead = (away[:, 0] > .01) & (away[:, 0] >= np.abs(away[:, 1]) - 1e-3)
    assert ahead[stepped]
    assert (away**2).sum(1)[stepped] < (away**2).sum(1)[ahead].min() + .01
    assert np.array_equal(z.numpy(), e["mu"][stepped])
    tip = person.page.locator(".arc-tip")
    person.page.wait_for_function("i => document.querySelector('.arc-tip').dataset.number === String(i)", arg=stepped)
    assert f"#{stepped}: " in tip.text_content()
    assert tip.locator("canvas").is_visible()


@pytest.fixture
def drawn(person, model):
    "A red square of two by two cells, drawn on the board and encoded: the z where the explorer then is."
    if person.z().any(): person.after(lambda: person.button("reset"), model)
    board = person.canvas("draw here")
    person.button("clear")
    person.page.get_by_role("button", name="red", exact=True).click()
    drag(person.page.mouse, cell_middle(board, 5, 3), cell_middle(board, 5, 4))
    for key in ("ArrowDown", "2", "ArrowLeft", "2"): person.page.keyboard.press(key)
    square = np.zeros((16, 16), np.uint8)
    square[5:7, 3:5] = 2
    assert np.array_equal(person.pixels(board), square)
    z, _ = person.after(lambda: person.button("encode the drawing"), model)
    assert torch.allclose(z, model.encode(square)[0], atol=1e-5)
    assert np.array_equal(person.pixels(person.original), square)
    return z


def test_an_object_by_mouse(person, model, drawn):
    "Two cells down and three to the right are two and three steps in two numbers, and the same picture elsewhere."
    before, page = person.pixels(person.decoded), person.page
    row, column = np.argwhere(before)[0]

    def pull(down, right):
        ends = (row, column), (row + down, column + right)
        drag(page.mouse, *(cell_middle(person.decoded, *cell) for cell in ends))
        page.get_by_text(f"z = move(vae, z, down={down}, right={right}, object=0)", exact=True).wait_for()

    z, _ = person.after(lambda: pull(2, 3), model)
    assert person.decoded.get_attribute("data-selected") == "0"
    page.keyboard.press("Escape")  # and the line around it, which may cross the middles of cells, is gone
    steps = (z - drawn)/model.axes[0].step
    assert torch.allclose(steps, torch.tensor([2., 3, 0, 0, 0, 0, 0, 0, 0, 0]), atol=1e-5)
    assert np.array_equal(person.pixels(person.decoded), np.roll(before, (2, 3), (0, 1)))
    back, _ = person.after(lambda: person.button("undo"), model)
    assert torch.equal(back, drawn)

    person.after(lambda: pull(0, 1), model)
    person.after(lambda: person.button("make it yellow"), model)
    page.keyboard.press("Escape")
    grid = person.pixels(person.decoded)
    assert set(grid[grid > 0]) == {4}


def test_an_object_by_keyboard(person, model, drawn):
    "Every edit of an object has a key, and every one of them can be undone."
    keyboard = person.page.keyboard
    person.decoded.focus()
    before = person.pixels(person.decoded)
    keyboard.press("n")
    assert person.decoded.get_attribute("data-selected") == "0"
    person.after(lambda: keyboard.press("ArrowDown"), model)
    z, _ = person.after(lambda: keyboard.press("ArrowRight"), model)
    assert torch.allclose((z - drawn)[:3]/model.axes[0].step, torch.tensor([1., 1, 0]))
    person.after(lambda: keyboard.press("6"), model)
    keyboard.press("Escape")
    assert set(person.pixels(person.decoded).flatten()) == {0, 6}
    keyboard.press("n")
    _, empty = person.after(lambda: keyboard.press("Delete"), model)
    assert not empty.any()
    for _ in range(4): back, grid = person.after(lambda: keyboard.press("u"), model)
    assert torch.equal(back, drawn)
    assert np.array_equal(grid, before)


def test_operators_beside_cells(person, model, drawn):
    "What is done to the code is done to the cells too, with the difference marked."
    in_cells = person.pixels(person.original)
    for name in ("mirror", "flip", "turn"): _, grid = person.after(lambda name=name: person.button(name), model)
    in_cells = np.rot90(in_cells[::-1, ::-1])
    assert np.array_equal(person.pixels(person.original), in_cells)
    assert f"{(grid != in_cells).sum()} of 256" in person.decoded.get_attribute("aria-label")


def test_the_probability_of_a_cell(person, model):
    z, _ = person.after(lambda: person.button("random test grid"), model)
    person.page.mouse.move(*cell_middle(person.decoded, 3, 7))
    p, color = model.decode(z, logits=True)[0, :, 3, 7].softmax(0).max(0)
    text = person.page.locator(".arc-readout").first.text_content()
    assert re.fullmatch(rf"row 3, column 7: \w+ \({color}\), [\d.]+ %", text)
    assert abs(float(text.split()[-2])/100 - p) < .001


CONTROLS = """() => {
    const area = document.querySelector(".jp-OutputArea-output");
    const found = [...area.querySelectorAll("button, input, select, textarea, summary, [tabindex]")].filter(
        each => each.tabIndex >= 0 && !each.disabled && each.checkVisibility({ visibilityProperty: true }));
    found.forEach((each, i) => { each.dataset.stop = i; });
    return found.map(each => (each.ariaLabel || each.labels?.[0]?.textContent || each.textContent || each.title
        || each.placeholder || "").trim());
}"""


def test_every_control_has_a_name_and_a_place_in_the_order_of_tab(person):
    "From the first to the last by the key alone."
    names = person.page.evaluate(CONTROLS)
    assert len(names) > 40
    assert "" not in names
    person.page.locator("[data-stop='0']").focus()
    reached = []
    for _ in names:
        reached.append(person.page.evaluate("document.activeElement.dataset.stop"))
        person.page.keyboard.press("Tab")
    assert [name for i, name in enumerate(names) if str(i) not in reached] == []


def test_the_page_decodes_grids_in_their_sizes(person, canvas_model, tmp_path):
    vae, grids = canvas_model, torch.cat(list(arc_tasks("training").values()))[::30]
    page = person.page.context.browser.new_page()
    page.goto(write_page(save_checkpoint(tmp_path/"vae.pth", "vae", vae), tmp_path/"page.html").as_uri())
    anywhere = torch.randn(300, 19, generator=torch.manual_seed(0))
    z = torch.cat([vae.encode(grids, check=False)[:100], anywhere, 4*anywhere, (16*anywhere).round()/8])
    found = page.evaluate("codes => codes.map(z => decoder.decode(z).grid)", z.tolist())
    assert np.array_equal(found, vae.decode(z).numpy())
    shown = type(person)(page)
    assert page.locator("details[open]").count() == 4, "the grid and three objects; the others are folded"
    shown.slider(16).focus()
    page.keyboard.press("End")
    z, grid = shown.after(lambda: page.keyboard.press("Home"), vae)
    assert grid[0, 0] < OUTSIDE and (grid[1:] == OUTSIDE).all()
    page.close()


def test_the_page_decodes_as_python_does(person, model, e, evaluated, tmp_path):
    "From a file, without Python: the codes of test grids, and any others; objects move, and are dropped as in Python."
    page = person.page.context.browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(write_page(evaluated, tmp_path/"page.html").as_uri())
    anywhere = torch.randn(300, 10, generator=torch.manual_seed(0))
    z = torch.cat([torch.from_numpy(e["mu"]), anywhere, 4*anywhere, (16*anywhere).round()/8])  # the last on borders
    grids = page.evaluate("codes => codes.map(z => decoder.decode(z).grid)", z.tolist())
    assert np.array_equal(grids, model.decode(z).numpy())
    page.set_viewport_size(dict(width=390, height=844))  # a phone: the grid stays in sight above the slider
    page.locator("#sliders input").last.focus()
    grid, slider = (page.locator(f"#{part}").last.bounding_box() for part in ("decoded canvas", "sliders input"))
    assert 0 <= grid["y"] and grid["y"] + grid["height"] <= slider["y"] < 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size(dict(width=1280, height=1180))
    shown = type(person)(page)
    z = shown.z()
    shown.decoded.focus()
    page.keyboard.press("n")
    moved, _ = shown.after(lambda: page.keyboard.press("ArrowDown"), model)
    assert np.allclose(moved - z, model.axes[0].step*(np.arange(10) == 0), atol=1e-6)
    shown.slider(4).focus()
    by_hand, _ = shown.after(lambda: page.keyboard.press("End"), model)
    shown.decoded.focus()
    shown.after(lambda: page.keyboard.press("Delete"), model)
    for expected in (by_hand, moved, z):
        back, _ = shown.after(lambda: page.keyboard.press("u"), model)
        assert torch.equal(back, expected)
    page.keyboard.press("n")
    color = "21"[int(model.decode_objects(z).color[0] == 2)]
    for key in ("ArrowRight", color, "Delete"): shown.after(lambda key=key: page.keyboard.press(key), model)
    names = dict(vae=model)
    exec("import torch\nfrom arc_vae.code.operators import *\n" + page.locator("textarea").input_value(), names)
    assert torch.equal(names["z"][0], shown.z())
    assert errors == []
    page.close()

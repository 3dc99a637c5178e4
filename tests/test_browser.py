"""The explorer as a person meets it: real JupyterLab, real Chromium, a mouse and a keyboard."""
import re

import numpy as np
import pytest
import torch
from browsing import find_chromium, jupyter_lab, opened
from conftest import ROOT

from arc_vae.apps.page import write_page
from arc_vae.code.network import load
from arc_vae.infra.runs import read_evaluation
from arc_vae.report.latent_map import projections


@pytest.fixture(scope="module")
def chromium():
    if found := find_chromium(): return found
    pytest.skip("no Chromium here, and no package manager that may install it: `apt-get install chromium`")


@pytest.fixture(scope="module")
def person(chromium, evaluated, tmp_path_factory):
    with jupyter_lab(evaluated, tmp_path_factory.mktemp("lab")) as address:
        with opened(address, chromium) as person:
            yield person


@pytest.fixture(scope="module")
def model(evaluated):
    return load(evaluated)


@pytest.fixture(scope="module")
def e(evaluated):
    return read_evaluation(evaluated)


def shows(person, model, z, grid):
    "Whether the picture is what the decoder makes of the numbers, and the numbers are those beside the sliders."
    if not np.array_equal(model.decode(z)[0], grid): return False
    return all(abs(z[d] - v) < .00501 for d, v in person.numbers().items())


def is_test_grid(person, e, i, z):
    "Whether the sliders stand at the code of a test grid, which is shown as the original."
    return np.array_equal(z.numpy(), e["mu"][i]) and np.array_equal(person.pixels(person.original), e["x"][i])


def drag(mouse, start, end, steps):
    "Press at one point, move to another, release."
    mouse.move(*start)
    mouse.down()
    mouse.move(*end, steps=steps)
    mouse.up()


@pytest.fixture
def telling(person, model, e):
    "A slider between whose ends the picture changes when all others are at 0, where all now are."
    if any(person.said()["z"]): person.after(lambda: person.button("reset"))
    for d in range(10):
        low, high = torch.zeros(2, 10)
        low[d], high[d] = (float(v) for v in np.quantile(e["mu"][:, d], (.02, .98)))
        pictures = model.decode(torch.stack([low, high, torch.zeros(10)]))
        if len(pictures.unique(dim=0)) == 3: return d
    raise AssertionError("no number changes the picture")


def test_a_slider_by_keyboard(person, model, telling):
    keyboard = person.page.keyboard
    person.slider(telling).focus()
    highest, right = person.after(lambda: keyboard.press("End"))
    assert shows(person, model, highest, right)
    assert highest[telling] > 0 and highest.count_nonzero() == 1
    lowest, left = person.after(lambda: keyboard.press("Home"))
    assert shows(person, model, lowest, left)
    assert lowest[telling] < 0 and (left != right).any()
    next_to_it, _ = person.after(lambda: keyboard.press("ArrowRight"))
    assert abs(next_to_it[telling] - lowest[telling] - .01) < 1e-5
    assert person.page.locator(".jp-Cell").count() == 2, "the notebook did not take the key for itself"


def test_a_slider_by_mouse(person, model, telling):
    box = person.slider(telling).bounding_box()

    def pull(start, end):
        y = box["y"] + box["height"]/2
        points = [(box["x"] + share*box["width"], y) for share in (start, end)]
        drag(person.page.mouse, *points, steps=100)  # each is a message

    highest, right = person.after(lambda: pull(.5, .99))
    assert shows(person, model, highest, right)
    assert highest[telling] > 0
    lowest, left = person.after(lambda: pull(.99, .01))
    assert shows(person, model, lowest, left)
    assert lowest[telling] < 0 and (left != right).any()


def test_a_click_on_the_map(person, model, e):
    canvas = person.page.locator("canvas[data-here]")
    for position in (dict(x=80, y=100), dict(x=180, y=170)):
        z, grid = person.after(lambda position=position: canvas.click(position=position))
        picked = int(canvas.get_attribute("data-picked"))
        assert shows(person, model, z, grid)
        assert is_test_grid(person, e, picked, z)
        wrong = (grid != e["x"][picked]).sum()
        assert f"{wrong} of 256" in person.decoded.get_attribute("aria-label")


def sheet_of(points, size=384, margin=12):
    "Where the map draws points when nothing is zoomed, (N, 2)."
    low, high = points.min(0), points.max(0)
    scale = (size - 2*margin)/(high - low).max()
    return size/2 + (points - (low + high)/2)*scale*[1, -1]


class Map:
    "The map of a page, and where its points are seen."
    def __init__(self, person, points):
        self.canvas = person.page.locator("canvas[data-here]")
        self.sheet = sheet_of(points)
        self.canvas.scroll_into_view_if_needed()
        self.box = self.canvas.bounding_box()

    def on_screen(self, x, y):
        "Where a pixel of the map lies on the canvas as it is shown."
        scale = self.box["width"]/384
        return x*scale, y*scale

    def on_page(self, x, y):
        "Where a pixel of the map lies on the page."
        across, down = self.on_screen(x, y)
        return self.box["x"] + across, self.box["y"] + down

    def view(self):
        "Zoom, and the offsets of its left and top."
        return [float(v) for v in self.canvas.get_attribute("data-view").split(",")]

    def seen(self):
        "The points' places on the screen, (N, 2)."
        zoom, *offset = self.view()
        return self.sheet*zoom + offset

    def picked(self):
        "The point that was taken last."
        return int(self.canvas.get_attribute("data-picked"))


def test_the_map_from_near(person, model, e, evaluated):
    "Zoomed in, dragged and walked over by keyboard: what is taken is what is seen there."
    chart = Map(person, projections(evaluated)["pca"])
    keyboard, mouse = person.page.keyboard, person.page.mouse
    mouse.move(0, 0)
    chart.canvas.focus()
    for _ in range(2): keyboard.press("+")
    assert chart.view() == [2.25, -240, -240]

    drag(mouse, chart.on_page(160, 160), chart.on_page(220, 130), steps=5)
    assert np.allclose(chart.view(), [2.25, -180, -270], atol=.01)
    assert chart.canvas.get_attribute("data-picked") is not None

    across, down = chart.on_screen(100, 90)
    z, grid = person.after(lambda: chart.canvas.click(position=dict(x=across, y=down)))
    picked = chart.picked()
    assert picked == ((chart.seen() - [100, 90])**2).sum(1).argmin()
    assert np.array_equal(z.numpy(), e["mu"][picked])
    assert shows(person, model, z, grid)

    def step_right():
        keyboard.press("ArrowRight")
        keyboard.press("Enter")

    mouse.move(0, 0)
    chart.canvas.focus()
    z, grid = person.after(step_right)
    stepped = chart.picked()
    away = chart.seen() - chart.seen()[picked]
    distance = (away**2).sum(1)
    ahead = (away[:, 0] > .01) & (away[:, 0] >= np.abs(away[:, 1]) - 1e-3)
    assert ahead[stepped]
    assert distance[stepped] < distance[ahead].min() + .01
    assert np.array_equal(z.numpy(), e["mu"][stepped])
    assert shows(person, model, z, grid)

    mouse.move(*chart.on_page(200, 120))
    mouse.wheel(0, -300)
    person.page.wait_for_function(
        "Math.abs(document.querySelector('canvas[data-here]').dataset.view.split(',')[0] - 2.25*Math.E) < .01")
    chart.canvas.focus()
    keyboard.press("0")
    assert chart.view() == [1, 0, 0]
    tip = person.page.locator(".arc-tip")
    number = int(chart.canvas.get_attribute("data-near"))
    person.page.wait_for_function("i => document.querySelector('.arc-tip').dataset.number === String(i)", arg=number)
    assert f"#{number}: " in tip.text_content()
    assert tip.locator("canvas").is_visible()


def test_a_test_grid_and_back(person, model, e):
    was = torch.tensor(person.said()["z"])
    z, grid = person.after(lambda: person.button("random test grid"))
    i = int(person.page.get_by_placeholder("test grid #").input_value())
    assert shows(person, model, z, grid)
    assert is_test_grid(person, e, i, z)
    z, grid = person.after(lambda: person.button("undo"))
    assert torch.equal(z, was)
    assert shows(person, model, z, grid)


def test_between_two_grids(person, model):
    a, _ = person.after(lambda: person.button("random test grid"))
    person.button("set A")
    b, _ = person.after(lambda: person.button("random prior sample"))
    person.button("set B")
    slider = person.page.get_by_label("from A to B")
    slider.focus()
    person.page.wait_for_function("slider => slider.value === '1'", arg=slider.element_handle())
    z, grid = person.after(lambda: person.page.keyboard.press("ArrowLeft"))
    assert torch.equal(z, torch.lerp(a, b, .99))
    assert shows(person, model, z, grid)
    z, grid = person.after(lambda: person.page.keyboard.press("Home"))
    assert torch.equal(z, a)
    assert shows(person, model, z, grid)


def test_a_drawing(person, model):
    board = person.canvas("draw here")
    assert board.get_attribute("role") == "application"
    person.page.get_by_role("button", name="yellow", exact=True).click()
    box = board.bounding_box()
    cell = box["width"]/16
    y = box["y"] + 5.5*cell
    drag(person.page.mouse, (box["x"] + 3.5*cell, y), (box["x"] + 6.5*cell, y), steps=12)
    for key in ("ArrowDown", "2", "ArrowLeft", "2"): person.page.keyboard.press(key)
    drawn = np.zeros((16, 16), np.uint8)
    drawn[5, 3:7] = 4
    drawn[6, 5:7] = 2
    assert np.array_equal(person.pixels(board), drawn)
    assert person.page.get_by_text("row 6, column 5: red (2)").is_visible()

    z, grid = person.after(lambda: person.button("where does it land?"))
    assert torch.allclose(z, model.encode(drawn)[0], atol=1e-5)
    assert shows(person, model, z, grid)
    assert np.array_equal(person.pixels(person.original), drawn)
    person.page.locator("textarea").first.fill("[[1, 2], [3]]")
    person.page.get_by_text("expected rows of one length, found 1, 2").wait_for()


def test_the_probability_of_a_cell(person, model):
    z, _ = person.after(lambda: person.button("random test grid"))
    side = person.decoded.bounding_box()["width"]/16
    person.decoded.hover(position=dict(x=7.5*side, y=3.5*side))
    p, color = model.decode(z, logits=True)[0, :, 3, 7].softmax(0).max(0)
    told = person.page.locator(".arc-readout").first.text_content()
    assert re.fullmatch(rf"row 3, column 7: \w+ \({color}\), [\d.]+ %", told)
    percent = float(told.split()[-2])
    assert abs(percent/100 - p) < .001

    person.page.mouse.move(0, 0)
    person.page.wait_for_function("!document.querySelector('.arc-readout').textContent.startsWith('row')")
    before = person.decoded.evaluate("canvas => canvas.toDataURL()")
    person.page.get_by_text("fill each cell to its probability").click()
    changed = "before => document.querySelector('.arc-canvas').toDataURL() !== before"
    person.page.wait_for_function(changed, arg=before)


def cell_middle(canvas, row, column):
    "Where on the page the middle of a cell is."
    box = canvas.bounding_box()
    side = box["width"]/16
    return box["x"] + (column + .5)*side, box["y"] + (row + .5)*side


@pytest.fixture
def alone(person, model, e):
    "A test grid whose only object, as it is decoded, has room at the right and below; the explorer shows it."
    mu = torch.from_numpy(e["mu"])
    o = model.decode_objects(mu)
    roomy = (o.top >= 0) & (o.left >= 0) & (o.top + o.height <= 14) & (o.left + o.width <= 13)
    lonely = (torch.bincount(o.grid, minlength=len(mu)) == 1)[o.grid]
    i = int(o.grid[roomy & lonely][0])
    if any(person.said()["z"]): person.after(lambda: person.button("reset"))
    field = person.page.get_by_placeholder("test grid #")
    field.fill(str(i))
    person.after(lambda: field.press("Enter"))
    return model.decode_objects(mu[i])


def test_an_object_by_mouse(person, model, alone):
    "Two cells down and three to the right are two steps and three in two numbers, and the same picture elsewhere."
    z_before, before = torch.tensor(person.said()["z"]), person.pixels(person.decoded)
    start = int(alone.row[0]), int(alone.column[0])
    end = start[0] + 2, start[1] + 3

    def pull(): drag(person.page.mouse, *(cell_middle(person.decoded, *cell) for cell in (start, end)), steps=12)

    def arrived():
        pull()
        person.page.get_by_text("z[1] += 2*step;  z[2] += 3*step", exact=True).wait_for()

    z, _ = person.after(arrived)
    assert person.decoded.get_attribute("data-selected") == "0"
    person.page.keyboard.press("Escape")  # and the line around it, which may cross the middles of cells, is gone
    grid = person.pixels(person.decoded)
    steps = (z - z_before)/model.axes[1].step
    assert torch.allclose(steps, torch.tensor([0, 2., 3, 0, 0, 0, 0, 0, 0, 0]), atol=1e-5)
    assert np.array_equal(grid, np.roll(before, (2, 3), (0, 1)))
    assert shows(person, model, z, grid)
    back, _ = person.after(lambda: person.button("undo"))
    assert torch.equal(back, z_before)


def test_an_object_by_keyboard(person, model, alone):
    "Every edit of an object has a key, and every one of them can be undone."

    def shown():
        "The grid without a line around its object."
        keyboard.press("Escape")
        grid = person.pixels(person.decoded)
        keyboard.press("n")
        return grid

    keyboard = person.page.keyboard
    person.decoded.focus()
    z_before, before = torch.tensor(person.said()["z"]), shown()
    assert person.decoded.get_attribute("data-selected") == "0"
    person.after(lambda: keyboard.press("ArrowDown"))
    assert np.array_equal(shown(), np.roll(before, 1, 0))
    z, _ = person.after(lambda: keyboard.press("Shift+ArrowRight"))
    step = model.axes[1].step
    assert torch.allclose((z - z_before)[1:3]/step, torch.tensor([1, .25]))
    color = 4 if int(alone.color[0]) != 4 else 6
    person.after(lambda: keyboard.press(str(color)))
    assert set(shown()[shown() > 0]) == {color}
    z_shape, _ = person.after(lambda: keyboard.press("]"))
    assert (z_shape != z).nonzero().flatten().tolist() == [3]
    person.after(lambda: keyboard.press("d"))
    two = shown()
    person.after(lambda: keyboard.press("Delete"))
    assert (two > 0).sum() > (shown() > 0).sum() > 0
    for _ in range(6): back, _ = person.after(lambda: keyboard.press("u"))
    assert torch.equal(back, z_before)
    assert np.array_equal(shown(), before)


def test_a_quarter_of_a_cell_and_a_color_by_mouse(person, model, alone):
    "With Shift an object is dragged in quarters of a cell; the palette colors the one that is selected."
    z_before = torch.tensor(person.said()["z"])
    row, column = int(alone.row[0]), int(alone.column[0])
    person.page.keyboard.down("Shift")
    drag(person.page.mouse, *(cell_middle(person.decoded, row, at) for at in (column, column + 1.25)), steps=5)
    person.page.keyboard.up("Shift")
    person.page.get_by_text("z[2] += 1.25*step", exact=True).wait_for()
    color, name = (4, "yellow") if int(alone.color[0]) != 4 else (6, "magenta")
    z, _ = person.after(lambda: person.button(f"make it {name}"))
    assert torch.allclose((z - z_before)[1:3]/model.axes[1].step, torch.tensor([0, 1.25]), atol=1e-5)
    person.decoded.focus()
    person.page.keyboard.press("Escape")
    grid = person.pixels(person.decoded)
    assert set(grid[grid > 0]) == {color}
    person.after(lambda: person.button("undo"))
    back, _ = person.after(lambda: person.button("undo"))
    assert torch.equal(back, z_before)


def test_operators_beside_cells(person, model, alone):
    "What is done to the code is done to the cells too, with the difference marked."
    person.decoded.focus()
    person.page.keyboard.press("Escape")
    in_cells = person.pixels(person.original)
    for name in ("mirror", "flip", "turn"): z, grid = person.after(lambda name=name: person.button(name))
    in_cells = np.rot90(in_cells[::-1, ::-1])
    assert np.array_equal(person.pixels(person.original), in_cells)
    assert shows(person, model, z, grid)
    assert f"{(grid != in_cells).sum()} of 256" in person.decoded.get_attribute("aria-label")


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
    assert len(names) > 50
    assert "" not in names
    person.page.locator("[data-stop='0']").focus()
    reached = []
    for _ in names:
        reached.append(person.page.evaluate("document.activeElement.dataset.stop"))
        person.page.keyboard.press("Tab")
    assert [name for i, name in enumerate(names) if str(i) not in reached] == []


def test_nobody_is_kept_out(person):
    "axe-core, where npm has installed it, finds no serious violation in the explorer."
    axe = ROOT/"node_modules"/"axe-core"/"axe.min.js"
    if not axe.exists(): pytest.skip("axe-core is not installed: `npm install --no-save axe-core@4.14.1`")
    person.page.evaluate(axe.read_text(encoding="utf-8"))
    found = person.page.evaluate("axe.run('.jp-OutputArea-output', { resultTypes: ['violations'] })")["violations"]
    serious = {each["id"]: each["nodes"][0]["html"] for each in found if each["impact"] in ("serious", "critical")}
    assert serious == {}


@pytest.fixture(scope="module")
def page_file(evaluated, tmp_path_factory):
    "The explorer of the run as one HTML file."
    return write_page(evaluated, tmp_path_factory.mktemp("page")/"page.html")


def test_the_page_decodes_as_python_does(person, model, e, page_file):
    "From a file, without Python: the codes of test grids, and any others."
    page = person.page.context.browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(page_file.as_uri())
    decode = "codes => codes.map(z => decoder.decode(z).grid)"
    for z, most in ((torch.from_numpy(e["mu"]), 0), (torch.randn(100, 10, generator=torch.manual_seed(0)), 1)):
        grids = np.array(page.evaluate(decode, z.tolist()))
        differ = (grids != model.decode(z).numpy()).any((1, 2))
        assert differ.sum() <= most, "a cell may be as probable in two colors"
    canvas = page.locator(".arc-canvas").first
    told = canvas.get_attribute("aria-label")
    assert "Delete removes it" in told
    assert "doubles" not in told, "this cannot be done there"

    def shown(): return person.pixels(canvas)

    z_before, before = np.array(page.evaluate("JSON.parse(document.body.dataset.z)")), shown()
    canvas.focus()
    page.keyboard.press("n")
    page.keyboard.press("ArrowDown")
    page.get_by_text("z[1] += 1*step", exact=True).wait_for()
    z = np.array(page.evaluate("JSON.parse(document.body.dataset.z)"))
    assert np.allclose(z - z_before, model.axes[1].step*(np.arange(10) == 1), atol=1e-6)
    page.keyboard.press("u")
    page.keyboard.press("Escape")
    assert np.array_equal(shown(), before)
    assert errors == []
    page.close()

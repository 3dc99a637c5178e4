"""The explorer as a person meets it: real JupyterLab, real Chromium, a mouse and a keyboard."""
import re

import numpy as np
import pytest
import torch
from browsing import find_chromium, jupyter_lab, opened

from arc_vae.code.pretrained import load
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
    assert person.page.locator(".jp-Cell").count() == 1, "the notebook did not take the key for itself"


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
    for position in (dict(x=100, y=120), dict(x=230, y=210)):
        z, grid = person.after(lambda position=position: canvas.click(position=position))
        picked = int(canvas.get_attribute("data-picked"))
        assert shows(person, model, z, grid)
        assert is_test_grid(person, e, picked, z)
        wrong = (grid != e["x"][picked]).sum()
        assert f"{wrong} of 256" in person.decoded.get_attribute("aria-label")


def sheet_of(points, size=320, margin=12):
    "Where the map draws points when nothing is zoomed, (N, 2)."
    low, high = points.min(0), points.max(0)
    scale = (size - 2*margin)/(high - low).max()
    return size/2 + (points - (low + high)/2)*scale*[1, -1]


class Map:
    "The map of a page, and where its points are seen."
    def __init__(self, person, points):
        self.canvas = person.page.locator("canvas[data-here]")
        self.sheet = sheet_of(points)

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
    box = chart.canvas.bounding_box()
    left, top = box["x"], box["y"]
    for _ in range(2): keyboard.press("+")
    assert chart.view() == [2.25, -200, -200]

    drag(mouse, (left + 160, top + 160), (left + 220, top + 130), steps=5)
    assert chart.view() == [2.25, -140, -230]
    assert chart.canvas.get_attribute("data-picked") is not None

    z, grid = person.after(lambda: chart.canvas.click(position=dict(x=100, y=90)))
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

    mouse.move(left + 200, top + 120)
    mouse.wheel(0, -300)
    person.page.wait_for_function(
        "Math.abs(document.querySelector('canvas[data-here]').dataset.view.split(',')[0] - 2.25*Math.E) < .01")
    chart.canvas.focus()
    keyboard.press("0")
    assert chart.view() == [1, 0, 0]


def test_a_test_grid_and_back(person, model, e):
    was = torch.tensor(person.said()["z"])
    z, grid = person.after(lambda: person.button("random test grid"))
    i = int(person.page.locator("input[type=number]").input_value())
    assert shows(person, model, z, grid)
    assert is_test_grid(person, e, i, z)
    z, grid = person.after(lambda: person.button("back"))
    assert torch.equal(z, was)
    assert shows(person, model, z, grid)


def test_between_two_grids(person, model):
    a, _ = person.after(lambda: person.button("random test grid"))
    person.button("set A")
    b, _ = person.after(lambda: person.button("random prior sample"))
    person.button("set B")
    person.page.wait_for_selector(".widget-slider .noUi-target:not([disabled])")
    person.page.locator(".noUi-handle").focus()
    z, grid = person.after(lambda: person.page.keyboard.press("ArrowLeft"))
    assert torch.equal(z, torch.lerp(a, b, .99))
    assert shows(person, model, z, grid)
    z, grid = person.after(lambda: person.page.keyboard.press("Home"))
    assert torch.equal(z, a)
    assert shows(person, model, z, grid)


def test_a_drawing(person, model):
    board = person.canvas("draw here")
    assert board.get_attribute("role") == "application"
    person.page.get_by_role("radio", name="yellow").click()
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
    person.decoded.hover(position=dict(x=7.5*15, y=3.5*15))
    p, color = model.decode(z, logits=True)[0, :, 3, 7].softmax(0).max(0)
    told = person.page.locator(".arc-readout").first.text_content()
    assert re.fullmatch(rf"row 3, column 7: \w+ \({color}\), [\d.]+ %", told)
    percent = float(told.split()[-2])
    assert abs(percent/100 - p) < .001

    person.page.mouse.move(0, 0)
    person.page.wait_for_function("document.querySelector('.arc-readout').textContent === ''")
    before = person.decoded.evaluate("canvas => canvas.toDataURL()")
    person.page.get_by_text("fill each cell to its probability").click()
    changed = "before => document.querySelector('.arc-canvas').toDataURL() !== before"
    person.page.wait_for_function(changed, arg=before)

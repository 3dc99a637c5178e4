"""The explorer as a person meets it: real JupyterLab, real Chromium, a mouse and a keyboard."""
import re

import numpy as np
import pytest
import torch
from browsing import find_chromium, jupyter_lab, opened

from arc_vae.checkpoint import load
from arc_vae.evaluate import read_evaluation
from arc_vae.latent_viz import projections


@pytest.fixture(scope="module")
def chromium(): return find_chromium() or pytest.skip("no Chromium here, and no package manager that may install it: `apt-get install chromium`")


@pytest.fixture(scope="module")
def person(chromium, evaluated, tmp_path_factory):
    with jupyter_lab(evaluated, tmp_path_factory.mktemp("lab")) as address, opened(address, chromium) as person: yield person


@pytest.fixture(scope="module")
def model(evaluated): return load(evaluated)


@pytest.fixture(scope="module")
def e(evaluated): return read_evaluation(evaluated)


def shows(person, model, z, grid):
    "Whether the picture is what the decoder makes of the numbers, and the numbers are those beside the sliders."
    return np.array_equal(model.decode(z)[0], grid) and all(abs(z[d] - v) < .00501 for d, v in person.numbers().items())


@pytest.fixture
def telling(person, model, e):
    "A slider between whose ends the picture changes when all others are at 0, where all now are."
    if any(person.said()["z"]): person.after(lambda: person.button("reset"))
    for d in range(10):
        low, high = torch.zeros(2, 10)
        low[d], high[d] = (float(v) for v in np.quantile(e["mu"][:, d], (.02, .98)))
        if len(model.decode(torch.stack([low, high, torch.zeros(10)])).unique(dim=0)) == 3: return d
    raise AssertionError("no number changes the picture")


def test_a_slider_by_keyboard(person, model, telling):
    slider = person.slider(telling)
    slider.focus()
    z, high = person.after(lambda: person.page.keyboard.press("End"))
    assert shows(person, model, z, high) and z[telling] > 0 and z.count_nonzero() == 1
    y, low = person.after(lambda: person.page.keyboard.press("Home"))
    assert shows(person, model, y, low) and y[telling] < 0 and (low != high).any()
    x, _ = person.after(lambda: person.page.keyboard.press("ArrowRight"))
    assert abs(x[telling] - y[telling] - .01) < 1e-5 and person.page.locator(".jp-Cell").count() == 1, "the notebook did not take the key for itself"


def test_a_slider_by_mouse(person, model, telling):
    box, mouse = person.slider(telling).bounding_box(), person.page.mouse
    def drag(start, end):
        mouse.move(box["x"] + start*box["width"], box["y"] + box["height"]/2)
        mouse.down()
        mouse.move(box["x"] + end*box["width"], box["y"] + box["height"]/2, steps=100)  # each is a message
        mouse.up()
    z, right = person.after(lambda: drag(.5, .99))
    assert shows(person, model, z, right) and z[telling] > 0
    y, left = person.after(lambda: drag(.99, .01))
    assert shows(person, model, y, left) and y[telling] < 0 and (left != right).any()


def test_a_click_on_the_map(person, model, e):
    canvas = person.page.locator("canvas[data-here]")
    for position in (dict(x=100, y=120), dict(x=230, y=210)):
        z, grid = person.after(lambda position=position: canvas.click(position=position))
        picked = int(canvas.get_attribute("data-picked"))
        assert shows(person, model, z, grid) and np.array_equal(z.numpy(), e["mu"][picked]) and np.array_equal(person.pixels(person.original), e["x"][picked])
        assert f"{(grid != e['x'][picked]).sum()} of 256" in person.decoded.get_attribute("aria-label")


def test_the_map_from_near(person, model, e, evaluated):
    "Zoomed in, dragged and walked over by keyboard: what is taken is what is seen there."
    canvas, keyboard, mouse = person.page.locator("canvas[data-here]"), person.page.keyboard, person.page.mouse
    points = projections(evaluated)["pca"]; low, high = points.min(0), points.max(0); scale = (320 - 2*12)/(high - low).max()
    sheet = 160 + (points - (low + high)/2)*scale*[1, -1]
    def view(): return [float(v) for v in canvas.get_attribute("data-view").split(",")]
    def seen(): zoom, *offset = view(); return sheet*zoom + offset
    mouse.move(0, 0); canvas.focus(); box = canvas.bounding_box()
    for _ in "++": keyboard.press("+")
    assert view() == [2.25, -200, -200]
    mouse.move(box["x"] + 160, box["y"] + 160); mouse.down(); mouse.move(box["x"] + 220, box["y"] + 130, steps=5); mouse.up()
    assert view() == [2.25, -140, -230] and canvas.get_attribute("data-picked") is not None
    z, grid = person.after(lambda: canvas.click(position=dict(x=100, y=90)))
    picked = int(canvas.get_attribute("data-picked"))
    assert picked == ((seen() - [100, 90])**2).sum(1).argmin() and np.array_equal(z.numpy(), e["mu"][picked]) and shows(person, model, z, grid)
    mouse.move(0, 0); canvas.focus()
    def walk(): keyboard.press("ArrowRight"); keyboard.press("Enter")
    z, grid = person.after(walk)
    stepped = int(canvas.get_attribute("data-picked")); away = seen() - seen()[picked]; ahead = (away[:, 0] > .01) & (away[:, 0] >= np.abs(away[:, 1]) - 1e-3)
    assert ahead[stepped] and (away[stepped]**2).sum() < (away[ahead]**2).sum(1).min() + .01 and np.array_equal(z.numpy(), e["mu"][stepped]) and shows(person, model, z, grid)
    mouse.move(box["x"] + 200, box["y"] + 120); mouse.wheel(0, -300)
    person.page.wait_for_function("Math.abs(document.querySelector('canvas[data-here]').dataset.view.split(',')[0] - 2.25*Math.E) < .01")
    canvas.focus(); keyboard.press("0")
    assert view() == [1, 0, 0]


def test_a_test_grid_and_back(person, model, e):
    was = torch.tensor(person.said()["z"])
    z, grid = person.after(lambda: person.button("random test grid"))
    i = int(person.page.locator("input[type=number]").input_value())
    assert shows(person, model, z, grid) and np.array_equal(z.numpy(), e["mu"][i]) and np.array_equal(person.pixels(person.original), e["x"][i])
    y, before = person.after(lambda: person.button("back"))
    assert torch.equal(y, was) and shows(person, model, y, before)


def test_between_two_grids(person, model):
    a, _ = person.after(lambda: person.button("random test grid"))
    person.button("set A")
    b, _ = person.after(lambda: person.button("random prior sample"))
    person.button("set B")
    person.page.wait_for_selector(".widget-slider .noUi-target:not([disabled])")
    person.page.locator(".noUi-handle").focus()
    z, grid = person.after(lambda: person.page.keyboard.press("ArrowLeft"))
    assert torch.equal(z, torch.lerp(a, b, .99)) and shows(person, model, z, grid)
    z, grid = person.after(lambda: person.page.keyboard.press("Home"))
    assert torch.equal(z, a) and shows(person, model, z, grid)


def test_a_drawing(person, model):
    board = person.canvas("draw here")
    assert board.get_attribute("role") == "application"
    person.page.get_by_role("radio", name="yellow").click()
    box, mouse = board.bounding_box(), person.page.mouse
    cell = box["width"]/16
    mouse.move(box["x"] + 3.5*cell, box["y"] + 5.5*cell)
    mouse.down()
    mouse.move(box["x"] + 6.5*cell, box["y"] + 5.5*cell, steps=12)
    mouse.up()
    for key in ("ArrowDown", "2", "ArrowLeft", "2"): person.page.keyboard.press(key)
    drawn = np.zeros((16, 16), np.uint8)
    drawn[5, 3:7], drawn[6, 5:7] = 4, 2
    assert np.array_equal(person.pixels(board), drawn)
    assert person.page.get_by_text("row 6, column 5: red (2)").is_visible()
    z, grid = person.after(lambda: person.button("where does it land?"))
    assert torch.allclose(z, model.encode(drawn)[0], atol=1e-5) and shows(person, model, z, grid) and np.array_equal(person.pixels(person.original), drawn)
    person.page.locator("textarea").first.fill("[[1, 2], [3]]")
    person.page.get_by_text("expected rows of one length, found 1, 2").wait_for()


def test_the_probability_of_a_cell(person, model):
    z, _ = person.after(lambda: person.button("random test grid"))
    person.decoded.hover(position=dict(x=7.5*15, y=3.5*15))
    p, color = model.decode(z, logits=True)[0, :, 3, 7].softmax(0).max(0)
    told = person.page.locator(".arc-readout").first
    assert re.fullmatch(rf"row 3, column 7: \w+ \({color}\), [\d.]+ %", told.text_content()) and abs(float(told.text_content().split()[-2])/100 - p) < .001
    person.page.mouse.move(0, 0)
    person.page.wait_for_function("document.querySelector('.arc-readout').textContent === ''")
    before = person.decoded.evaluate("canvas => canvas.toDataURL()")
    person.page.get_by_text("fill each cell to its probability").click()
    person.page.wait_for_function("before => document.querySelector('.arc-canvas').toDataURL() !== before", arg=before)

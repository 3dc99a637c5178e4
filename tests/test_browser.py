"""The explorer as a person meets it: real JupyterLab, real Chromium, a mouse and a keyboard."""
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request

import nbformat
import numpy as np
import pytest
import torch
from conftest import BIN, ROOT

from arc_vae.checkpoint import load
from arc_vae.data import PALETTE
from arc_vae.evaluate import read_evaluation

WAIT = 60_000  # ms until something that does not come counts as missing; nothing is this slow where it works


@pytest.fixture(scope="module")
def chromium():
    "The browser of this machine, installed where a package manager may do it."
    def find(): return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
    if not find() and shutil.which("apt-get") and os.geteuid() == 0:
        for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-q", *words], stdout=subprocess.DEVNULL, env=os.environ | dict(DEBIAN_FRONTEND="noninteractive"))
    return find() or pytest.skip("no Chromium here, and no package manager that may install it: `apt-get install chromium`")


@pytest.fixture(scope="module")
def lab(evaluated, tmp_path_factory):
    "The address of a notebook that explores a run, in a JupyterLab of its own with settings of its own."
    home, token = tmp_path_factory.mktemp("lab"), secrets.token_hex(16)
    (home/"notebooks").mkdir()
    cell = nbformat.v4.new_code_cell(f"from arc_vae.explorer import explore\nexplorer = explore({str(evaluated)!r})\nexplorer")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=dict(kernelspec=dict(name="python3", display_name="Python 3", language="python"))), home/"notebooks"/"look.ipynb")
    news = home/"settings"/"@jupyterlab"/"apputils-extension"/"notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]
    places = dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="runtime", IPYTHONDIR="ipython", JUPYTERLAB_SETTINGS_DIR="settings", JUPYTERLAB_WORKSPACES_DIR="workspaces")
    words = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home/'notebooks'}"]
    environment = {k: v for k, v in os.environ.items() if k != "IN_TEST"} | {k: str(home/v) for k, v in places.items()} | dict(PYTHONPATH=str(ROOT))
    with open(home/"log.txt", "w") as log: server = subprocess.Popen([str(BIN/"jupyter"), "lab", *words], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        began = time.monotonic()
        while True:
            try: urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=5).close(); break
            except OSError: assert server.poll() is None and time.monotonic() - began < 60, (home/"log.txt").read_text()
            time.sleep(.1)
        yield f"http://127.0.0.1:{port}/lab/tree/look.ipynb?token={token}&reset"
    finally:
        server.terminate()
        try: server.wait(20)
        except subprocess.TimeoutExpired: server.kill()


class Person:
    "Looks at the page and acts on it."
    def __init__(self, page): self.page, self.decoded, self.original = page, page.locator(".arc-canvas").nth(0), page.locator(".arc-canvas").nth(1)

    def canvas(self, label): return self.page.locator(f"canvas[aria-label^='{label}']")
    def button(self, name): self.page.get_by_role("button", name=name, exact=True).click()
    def said(self): return json.loads(self.page.locator("textarea").last.input_value())
    def slider(self, d): return self.page.locator(".arc-sliders label", has_text=re.compile(rf"^z{d},")).locator("input")

    def after(self, act):
        "What is shown when `act` has changed the numbers and sliders, text and picture agree again: z, and the grid as it is on the canvas."
        before = self.page.locator("textarea").last.input_value()
        act()
        self.page.wait_for_function("""before => {
            const text = [...document.querySelectorAll("textarea")].at(-1).value;
            if (text === before) return false;
            const { z, grid } = JSON.parse(text), rows = [...document.querySelectorAll(".arc-sliders label")];
            return document.querySelector(".arc-canvas").dataset.grid === grid.map(row => row.join("")).join("/")
                && rows.every(row => Math.abs(z[+row.textContent.match(/z(\\d+)/)[1]] - row.querySelector("output").textContent) < .00501);
        }""", arg=before)
        return torch.tensor(self.said()["z"]), self.pixels(self.decoded)

    def numbers(self): return dict(zip((int(re.match(r"z(\d+)", t)[1]) for t in self.page.locator(".arc-sliders label span").all_text_contents()), map(float, self.page.locator(".arc-sliders output").all_text_contents())))

    def pixels(self, canvas):
        "The colors of the middles of all cells, as they are on the screen."
        rgb = canvas.evaluate("""c => { const pen = c.getContext("2d"), s = c.width/16;
            return [...Array(256).keys()].map(i => [...pen.getImageData(Math.floor((i%16 + .5)*s), Math.floor((Math.floor(i/16) + .5)*s), 1, 1).data].slice(0, 3)); }""")
        return np.array([np.abs(PALETTE.astype(int) - c).sum(1).argmin() for c in rgb]).reshape(16, 16)


@pytest.fixture(scope="module")
def person(lab, chromium):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page, errors = browser.new_page(viewport=dict(width=1280, height=1180)), []
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(lab)
        page.wait_for_function("document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')")
        page.locator(".jp-CodeCell .cm-content").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("canvas[data-here]")
        yield Person(page)
        assert errors == []
        browser.close()


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

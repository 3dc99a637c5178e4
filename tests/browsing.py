"""A JupyterLab and a Chromium of one's own, and somebody who looks at the explorer in them. For the tests, and for the README's picture of it."""
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import nbformat
import numpy as np
import torch
from conftest import BIN, ROOT

from arc_vae.data import PALETTE

WAIT = 60_000  # ms until something that does not come counts as missing; nothing is this slow where it works


def find_chromium():
    "The browser of this machine, installed where a package manager may do it; nothing where there is none."
    def find(): return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)
    if not find() and shutil.which("apt-get") and os.geteuid() == 0:
        for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-q", *words], stdout=subprocess.DEVNULL, env=os.environ | dict(DEBIAN_FRONTEND="noninteractive"))
    return find()


@contextmanager
def jupyter_lab(run_dir, home):
    "The address of a notebook that explores a run, in a JupyterLab of its own with settings of its own, below the folder home."
    token = secrets.token_hex(16)
    (home/"notebooks").mkdir()
    cell = nbformat.v4.new_code_cell(f"from arc_vae.explorer import explore\nexplorer = explore({str(run_dir)!r})\nexplorer")
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


@contextmanager
def opened(address, chromium, width=1280, height=1180, **more):
    "A person in front of the explorer, once it is there; no error of the page goes unnoticed."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page, errors = browser.new_page(viewport=dict(width=width, height=height), **more), []
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_function("document.querySelector('#jp-main-statusbar')?.textContent.includes('| Idle')")
        page.locator(".jp-CodeCell .cm-content").click()
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("canvas[data-here]")
        yield Person(page)
        assert errors == []
        browser.close()

"""A JupyterLab and a Chromium of one's own, and somebody who looks at the explorer in them.

For the tests, and for the README's picture of it."""
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import torch
from conftest import ROOT

from arc_vae.data import PALETTE

WAIT = 60_000  # ms until something that does not come counts as missing; nothing is this slow where it works
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installed_chromium():
    "The first browser of this machine; nothing where there is none."
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def find_chromium():
    "The browser of this machine, installed where a package manager may do it; nothing where there is none."
    if not installed_chromium() and shutil.which("apt-get") and os.geteuid() == 0:
        environment = os.environ | dict(DEBIAN_FRONTEND="noninteractive")
        for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-q", *words], stdout=subprocess.DEVNULL, env=environment)
    return installed_chromium()


def own_environment(home):
    "Environment variables of a JupyterLab whose settings lie below the folder home."
    folders = dict(
        JUPYTER_CONFIG_DIR="config",
        JUPYTER_DATA_DIR="data",
        JUPYTER_RUNTIME_DIR="runtime",
        IPYTHONDIR="ipython",
        JUPYTERLAB_SETTINGS_DIR="settings",
        JUPYTERLAB_WORKSPACES_DIR="workspaces",
    )
    environment = os.environ | {name: str(home/folder) for name, folder in folders.items()}
    environment.pop("IN_TEST", None)
    return environment | dict(PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")


@contextmanager
def jupyter_lab(run_dir, home):
    "The address that `arc-vae explore` prints for a copy of a run, with settings of its own, below the folder home."
    shutil.copytree(run_dir, home/"outputs"/"run")
    news = home/"settings"/"@jupyterlab"/"apputils-extension"/"notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    words = ["explore", "run", "--no-browser"]
    command = [sys.executable, "-c", "import arc_vae.apps.cli; arc_vae.apps.cli.main()", *words]
    with subprocess.Popen(command, env=own_environment(home), cwd=home, text=True, stdout=subprocess.PIPE) as server:
        lines = []
        try:
            while not lines or not lines[-1].startswith("http"):
                lines.append(server.stdout.readline())
                assert lines[-1], f"no address: {''.join(lines)}"
            yield lines[-1].strip()
        finally:
            server.terminate()


class Person:
    "Looks at the explorer on a page and acts on it."
    def __init__(self, page):
        self.page = page
        self.decoded = page.locator(".arc-canvas").nth(0)
        self.original = page.locator(".arc-canvas").nth(1)

    def canvas(self, label):
        "The canvas with this label."
        return self.page.locator(f"canvas[aria-label^='{label}']")

    def button(self, name):
        "Press a button."
        self.page.get_by_role("button", name=name, exact=True).click()

    def slider(self, d):
        "The slider of a dimension."
        return self.page.locator(f".arc-sliders input[data-index='{d}']").first

    def z(self):
        "Where the sliders stand, (D,)."
        return torch.tensor(json.loads(self.page.locator(".arc-sliders").first.get_attribute("data-z")))

    def numbers(self):
        "The numbers beside the sliders, by dimension."
        labels = self.page.locator(".arc-sliders").first.locator("label")
        return dict(labels.evaluate_all("""labels => labels.map(label => [
            +label.querySelector("input").dataset.index, +label.querySelector("output").textContent])"""))

    def after(self, act, model):
        "z and grid once `act` has changed the sliders, and the picture is what the model decodes from them."
        before, end = self.z(), time.monotonic() + WAIT/1000
        act()
        while time.monotonic() < end:
            z = self.z()
            grid = model.decode(z)[0].tolist()
            shown = self.decoded.get_attribute("data-grid") == "/".join("".join(map(str, row)) for row in grid)
            if shown and not torch.equal(z, before): return z, self.pixels(self.decoded)
            self.page.wait_for_timeout(20)
        raise AssertionError("nothing moved, or the picture is not what the sliders decode to")

    def pixels(self, canvas):
        "The colors of the middles of all cells, as they are on the screen."
        middles = canvas.evaluate("""c => { const pen = c.getContext("2d"), s = c.width/16;
            return [...Array(256).keys()].map(i => [...pen.getImageData(
                Math.floor((i%16 + .5)*s), Math.floor((Math.floor(i/16) + .5)*s), 1, 1).data].slice(0, 3)); }""")
        colors = [np.abs(PALETTE.astype(int) - rgb).sum(1).argmin() for rgb in middles]
        return np.array(colors).reshape(16, 16)


@contextmanager
def opened(address, chromium, width=1280, height=1180, **more):
    "A person in front of the explorer, once it is there; no error of the page goes unnoticed."
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=dict(width=width, height=height), **more)
        errors = []
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(address)
        page.wait_for_selector("canvas[data-here]")
        yield Person(page)
        assert errors == []
        browser.close()

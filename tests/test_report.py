"""What the report says to somebody who was not there, and whether all of it means one thing."""
import json
import re
import shutil
import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from browsing import installed_chromium

from arc_vae.code.network import load
from arc_vae.corpus.generator import make_grids
from arc_vae.corpus.objects import find_objects
from arc_vae.data import GridCorpus
from arc_vae.evaluate import EvaluatedSplit, measure, verdict
from arc_vae.metrics.accuracy import METRICS, accuracy_report
from arc_vae.metrics.accuracy import nearest_grids
from arc_vae.metrics.object_errors import object_errors
from arc_vae.report.figures import figure_kl, figure_reconstructions, save_figure
from arc_vae.report.page import TERMS, glossary, write_report
from arc_vae.report.tables import format_report, report_headline
from arc_vae.report.text import VERDICTS, report_facts, report_questions


@pytest.fixture(scope="module")
def metrics(evaluated):
    return json.loads((evaluated/"metrics.json").read_text())


@pytest.fixture(scope="module")
def page(evaluated):
    for name, draw in dict(reconstructions=figure_reconstructions, kl=figure_kl).items():
        save_figure(draw(evaluated), evaluated, name)
    return write_report(evaluated)


def as_boxes(x):
    "The grids with each object as its filled box, smaller ones on top."
    out = torch.zeros_like(x)
    objects = find_objects(x, 256)
    fields = (objects.grid, objects.color, objects.top, objects.left, objects.height, objects.width)
    for grid, color, top, left, height, width in zip(*(field.tolist() for field in fields)):
        out[grid, top:top + height, left:left + width] = color
    return out


def test_whole_means_one_thing(evaluated, metrics):
    test = metrics["test"]
    assert test["object_recall"] == pytest.approx(test["failures"]["whole"]/test["failures"]["objects"])
    noise = torch.rand(300, 16, 16, generator=torch.Generator().manual_seed(0))
    with np.load(evaluated/"evaluation.npz") as arrays:
        x = torch.from_numpy(arrays["x"])
    damaged = torch.where(noise < .02, x.roll(1, 0), x)
    counts = object_errors(x, damaged).counts()
    assert 0 < counts["whole"] < object_errors(x, x).counts()["whole"]
    assert accuracy_report(damaged, x)["object_recall"] == pytest.approx(
        counts["whole"]/counts["objects"])


def test_objects_painted_as_their_boxes_are_not_whole():
    x = torch.from_numpy(make_grids(400, seed=8)[0])
    x = x[[len(find_objects(grid[None], 256).grid) == 1 for grid in x]]
    objects = find_objects(x)
    rectangles = (objects.size == objects.height*objects.width).double().mean().item()
    found = accuracy_report(as_boxes(x), x)
    assert 0 < rectangles < .9
    assert found["foreground_accuracy"] == 1
    assert found["object_recall"] == pytest.approx(rectangles)


class NearestGrid:
    "Sends the number of the most similar training grid, and paints that."
    latent_dim, device = 10, torch.device("cpu")

    def __init__(self, train): self.train = train

    def eval(self): pass

    def posterior(self, x):
        mu = torch.zeros(len(x), 10)
        mu[:, 0] = nearest_grids(self.train, x)
        return mu, torch.full((len(x), 10), -20.)

    def logits(self, z):
        grids = self.train[z[:, 0].round().long()]
        return 20.*torch.nn.functional.one_hot(grids.long(), 10).movedim(-1, 1)


def test_a_table_of_training_grids_is_the_baseline_that_it_is():
    grids = torch.from_numpy(make_grids(500, seed=3)[0])
    corpus = GridCorpus("", "", grids[:400], grids[:0], grids[400:], {})
    test = measure(EvaluatedSplit(NearestGrid(grids[:400]), corpus), ("test", "test.baselines"))["test"]
    for name in METRICS: assert test[name] == test["baselines"]["nearest_training_grid"][name], name
    assert test["active_units"] == 1
    assert 0 < test["skill"] < .6


def test_each_outcome_is_explained(metrics):
    test, learned = deepcopy(metrics["test"]), dict(metrics["learned"], interval=[-2., -1.])
    test |= dict(pixel_accuracy=.95, all_background_accuracy=.93, skill=.3, active_units=10, active_dims=10)
    test["code"] = dict(distortion_own=20., distortion_shuffled=90.)
    cases = {
        "pass": (test, learned),
        "untrained": (test, dict(learned, interval=[-1., .5])),
        "collapsed": (test | dict(active_units=0), learned),
        "below_baseline": (test | dict(pixel_accuracy=.93, skill=0.), learned),
        "below_target": (test | dict(pixel_accuracy=.85, all_background_accuracy=.8, skill=.25), learned)}
    assert set(cases) == set(VERDICTS)
    for word, judged in cases.items():
        assert verdict(*judged)[0] == word


def test_every_metric_stands_beside_what_costs_nothing(metrics):
    lines = report_headline(report_facts(metrics))
    assert [name for name, *_ in lines] == ["cells right", "colored cells right", "whole objects", "exact grids",
                                            "objective, β = 2", "distortion", "rate"]
    for _, _, beside in lines: assert [name for name, _ in beside] == ["all black", "before training"]
    assert lines[4][1] == f"{metrics['learned']['objective']:.1f} nats"
    assert dict(lines[4][2])["before training"] == f"{metrics['learned']['before']:.1f}"


def test_nothing_is_said_of_no_grids(metrics):
    none = deepcopy(metrics)
    none["test"]["unseen"] |= dict(n_exact=0, n_relative=0)
    assert "without the" not in format_report(none)
    none["test"]["unseen"] |= dict(n_exact=3)
    assert "without the 3 that stand in training" in format_report(none)


def test_the_page_answers_and_leads_somewhere(page, evaluated, metrics):
    text = page.read_text(encoding="utf-8")
    assert f"<title>{evaluated.name}: arc_vae report</title>" in text
    for question, answer in report_questions(report_facts(metrics, seed=0)):
        assert f"<dt>{question}</dt>" in text
        assert len(answer) > 40
    ids = re.findall(r' id="(.*?)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#(.*?)"', text)) <= set(ids)
    assert text.count("<figcaption>exact") + len(re.findall(r"<figcaption>\d+ wrong", text)) == 12
    visible = re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.S)
    assert not re.findall(r"\b(?:nan|None|undefined)\b", visible)


def test_the_glossary_explains_the_report_s_words():
    assert list(glossary()) == list(TERMS)
    assert len(TERMS) == 10
    assert all(re.search(pattern, f"{term} codebook") for term, pattern in TERMS.items())


def test_codes_that_cannot_hold_a_grid_say_so_once(evaluated):
    vae = load(evaluated, "cpu")
    with np.load(evaluated/"evaluation.npz") as arrays:
        x = arrays["x"]
    lost = {what: int(of_each.sum()) for what, of_each in vae.loss_of(x).items()}
    assert lost["objects"] > 0
    assert lost["cells"] >= 3*lost["objects"]
    with pytest.warns(UserWarning, match=f"{lost['objects']} objects .{lost['cells']} colored cells.") as said:
        z = vae.encode(x, batch_size=30)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(vae.encode(x, check=False), z)
        vae.reconstruct(x)


@pytest.mark.skipif(not installed_chromium(), reason="no browser")
def test_a_phone_a_dark_screen_and_paper(page, tmp_path):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed_chromium(), args=["--no-sandbox"])
        phone = browser.new_page(viewport=dict(width=390, height=844), color_scheme="dark")
        phone.goto(page.as_uri())
        assert phone.evaluate("document.documentElement.scrollWidth") == 390, "only tables and figures are wide"
        silent = phone.locator(".wide:not(.cue + .wide)").evaluate_all(
            "all => all.filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText)")
        assert silent == [], "what is wide says so"
        assert phone.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(22, 24, 27)"
        assert phone.locator(".cue").first.is_visible()
        desk = browser.new_page(viewport=dict(width=1280, height=900), color_scheme="light")
        desk.goto(page.as_uri())
        assert not desk.locator(".cue").first.is_visible()
        for first in (".verdict", ".key", ".pairs", "nav"):
            box = desk.locator(first).first.bounding_box()
            assert box["y"] + box["height"] <= 900, f"{first} is on the first screen"
        assert desk.locator(".questions").bounding_box()["height"] + 900 <= 1800, "and the answers on the second"
        desk.pdf(path=tmp_path/"report.pdf", prefer_css_page_size=True)
        sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", (tmp_path/"report.pdf").read_bytes())
        assert {tuple(round(float(side)) for side in size) for size in sizes} == {(595, 842)}, "A4"
        browser.close()


def test_the_report_leads_to_the_explorer_where_there_is_one(evaluated, tmp_path):
    from arc_vae.apps.page import write_page
    run = tmp_path/"run"
    shutil.copytree(evaluated, run)
    assert "explorer.html" not in write_report(run).read_text(encoding="utf-8")
    write_page(run, run/"explorer.html")
    assert '<a href="explorer.html">' in (run/"report.html").read_text(encoding="utf-8")

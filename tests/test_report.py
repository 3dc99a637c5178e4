"""What the report says to somebody who was not there, and whether all of it means one thing."""
import json
import re
import shutil
from copy import deepcopy

import pytest
import torch
from browsing import installed_chromium

from arc_vae.corpus.generator import make_grids
from arc_vae.data import GridCorpus
from arc_vae.evaluate import EvaluatedSplit, measure, verdict
from arc_vae.model import Gaussian
from arc_vae.metrics.accuracy import METRICS, nearest_grids
from arc_vae.report.figures import figure_meaning, figure_reconstructions, save_figure
from arc_vae.report.page import write_report
from arc_vae.report.tables import VERDICTS, format_report, report_facts, report_headline, report_questions


@pytest.fixture(scope="module")
def metrics(evaluated):
    return json.loads((evaluated/"metrics.json").read_text())


@pytest.fixture(scope="module")
def page(evaluated):
    for name, draw in dict(reconstructions=figure_reconstructions, meaning=figure_meaning).items():
        save_figure(draw(evaluated), evaluated, name)
    return write_report(evaluated)


class NearestGrid:
    "Sends the number of the most similar training grid, and paints that."
    latent_dim, device, family = 10, torch.device("cpu"), Gaussian()

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
    for _, _, beside in lines: assert [name for name, _ in beside] == ["background alone", "before training"]
    assert lines[4][1] == f"{metrics['learned']['objective']:.1f} nats"
    assert dict(lines[4][2])["before training"] == f"{metrics['learned']['before']:.1f}"


def test_nothing_is_said_of_what_was_not_measured(metrics):
    assert "stand in training" in format_report(metrics)
    less = deepcopy(metrics)
    less["test"]["unseen"]["n_relative"] = 0
    for name in ("learned", "operators", "transformed"): less.pop(name, None)
    assert "stand in training" not in format_report(less)
    answers = dict(report_questions(report_facts(less, seed=0)))
    assert answers["What was learned, what was built in?"].startswith("Networks of objects")
    assert not any("{" in answer for answer in answers.values())


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
    from arc_vae.apps.export import write_page
    run = tmp_path/"run"
    shutil.copytree(evaluated, run)
    assert "explorer.html" not in write_report(run).read_text(encoding="utf-8")
    write_page(run, run/"explorer.html")
    assert '<a href="explorer.html">' in (run/"report.html").read_text(encoding="utf-8")

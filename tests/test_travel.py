"""Runs and corpora under relative paths, moved, renamed and copied; what the command line lists."""
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import arc_vae
from arc_vae.corpus.generator import make_grids
from arc_vae.apps.cli import main
from arc_vae.apps.run import existing_run, run_path
from arc_vae.corpus.formats import run_corpus
from arc_vae.evaluate import evaluate
from arc_vae.infra.files import DatasetError, file_sha256
from arc_vae.infra.runs import RunError, find_corpus, read_json, run_lock
from arc_vae.train import small_run
from arc_vae.training.settings import TrainConfig, make_config, open_corpus, resumed_config

GRIDS = make_grids(200, seed=9)[0]


def quiet(line): pass


def arc_vae_says(*words):
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    "A folder with a run that was trained under relative paths: outputs/first on corpora/mine.npz."
    folder = tmp_path_factory.mktemp("a place")
    arc_vae.save_corpus(folder/"corpora"/"mine.npz", GRIDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small_run("outputs/first", corpus="corpora/mine.npz", epochs=1, beta_final_epoch=1)
    return folder


@pytest.fixture
def moved(work, tmp_path):
    "A copy of that folder under another name, somewhere else."
    return Path(shutil.copytree(work, tmp_path/"moved"))


def test_relative_paths_become_absolute(work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = read_json(work/"outputs"/"first"/"config.json")
    assert config["corpus"] == str((work/"corpora"/"mine.npz").resolve())
    assert config["corpus_from_run"] == "../../corpora/mine.npz"
    assert resumed_config(work/"outputs"/"first").corpus == config["corpus"]
    assert len(run_corpus(config, work/"outputs"/"first").test) == 20
    with pytest.raises(DatasetError, match=f"^{tmp_path}/no.npz: no such file"):  # where it looked, not only for what
        open_corpus(make_config(corpus="no.npz"), "")


def everything(folder): return folder
def renamed(folder):
    (folder/"outputs"/"corpus").mkdir()
    (folder/"corpora"/"mine.npz").rename(folder/"outputs"/"corpus"/"another name.npz")
def beside(folder):
    (folder/"outputs"/"corpus").mkdir()
    (folder/"corpora"/"mine.npz").rename(folder/"outputs"/"corpus"/"mine.npz")
def impostor(folder):
    renamed(folder)
    arc_vae.save_corpus(folder/"corpora"/"mine.npz", GRIDS[:100])


@pytest.mark.parametrize("what", [everything, renamed, beside, impostor], ids=lambda f: f.__name__)
def test_a_copy_finds_its_corpus(moved, work, what, monkeypatch):
    what(moved)
    run = moved/"outputs"/"first"
    config = read_json(run/"config.json") | dict(corpus="D:\\grids\\mine.npz")  # where it was, there is nothing
    found = find_corpus(run, config)
    assert found.is_relative_to(moved.resolve()) and file_sha256(found) == config["corpus_sha256"]
    (run/"config.json").write_text(json.dumps(config))
    assert resumed_config(run).corpus == str(found)
    monkeypatch.chdir(moved)
    assert len(run_corpus(config, "outputs/first").test) == 20


def test_a_lost_corpus_is_one_line_and_can_be_named(moved, tmp_path, monkeypatch):
    run = moved/"outputs"/"first"
    (moved/"corpora"/"mine.npz").rename(tmp_path/"elsewhere.npz")
    config = read_json(run/"config.json") | dict(corpus=str(tmp_path/"gone.npz"))
    (run/"config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="gone.npz: expected the corpus.*found no file; --corpus says where it is"):
        evaluate(run, "cpu", "disabled")
    arc_vae.save_corpus(tmp_path/"other.npz", GRIDS[:50])
    with pytest.raises(RunError, match="other.npz: expected the corpus of the training, sha256"):
        run_corpus(config, run, tmp_path/"other.npz")
    monkeypatch.chdir(tmp_path)
    metrics = evaluate(run, "cpu", "disabled", k=2, corpus="elsewhere.npz")
    assert metrics["test"]["n_grids"] == 20


def test_names_as_a_shell_completes_them(work, monkeypatch):
    monkeypatch.chdir(work)
    for given in ("first", "./first", "outputs/first/", "./outputs/first", str(work/"outputs"/"first")):
        assert existing_run(given) == (work/"outputs"/"first").resolve()
    with pytest.raises(RunError, match="outputs/frist: no such run, did you mean 'first'"):
        existing_run("outputs/frist/")
    for given in ("../first", "a/b", "outputs/a/b", "corpus", "outputs/corpus/", "/", "."):
        with pytest.raises(RunError, match="--run: expected a name"): run_path(given)


def test_runs_are_listed(moved, evaluated, monkeypatch):
    outputs = moved/"outputs"
    shutil.copytree(evaluated, outputs/"judged")
    for name, text in dict(broken="{", strange="[]", begun=(outputs/"first"/"config.json").read_text()).items():
        (outputs/name).mkdir()
        (outputs/name/"config.json").write_text(text)
    (outputs/"no run").mkdir()
    shutil.copytree(outputs/"first", outputs/"going-on")
    monkeypatch.chdir(moved)
    with run_lock(outputs/"going-on"): code, said = arc_vae_says("runs")
    lines = {line.split()[0]: line for line in said.splitlines()}
    assert code == 0 and list(lines) == ["run", "begun", "broken", "first", "going-on", "judged", "strange"]
    assert "not trained" in lines["begun"] and "completed" in lines["first"] and "training" in lines["going-on"]
    assert "cannot be read" in lines["broken"] and "cannot be read" in lines["strange"]
    metrics = read_json(outputs/"judged"/"metrics.json")
    for text in (metrics["verdict"], f"{metrics['test']['exact_match']:.2%}", f"{metrics['test']['rate']:.2f}"):
        assert text in lines["judged"]
    os.chdir(moved/"corpora")
    assert arc_vae_says("runs") == (1, "Error: outputs/: no run yet: `arc-vae run` makes one\n")


def test_settings_are_listed(preset="smoke"):
    code, said = arc_vae_says("settings", "--preset", preset)
    lines = said.splitlines()
    assert code == 0 and len(lines) == len(TrainConfig.model_fields)
    values = dict(line.split(" ")[0].split("=", 1) for line in lines)
    assert make_config(**values) == make_config(preset), "what is printed is what --set takes"
    assert make_config(preset).network in said
    assert re.search(r"^lr=\S+ +Learning rate at the start \(float, at least 0\)$", said, re.M)
    assert re.search(r"^compile= +Backend of torch.compile; .* \(str, ''\|inductor", said, re.M)

"""Other ways in and out: parameters that papermill lists, groups of W&B, hints, sweeps."""
import shlex
import subprocess

import papermill
import pytest
from click.testing import CliRunner
from conftest import ROOT
from wandb_records import read_runs

from arc_vae.apps.cli import main
from arc_vae.infra.files import DatasetError
from arc_vae.data import load_corpus
from arc_vae.infra.tracking import Tracker


@pytest.mark.parametrize("name", ["02_train", "03_evaluate", "04_latent_viz", "05_sample"])
def test_parameters_say_what_they_are(name):
    "What `papermill --help-notebook` shows."
    known = papermill.inspect_notebook(str(ROOT/"nbs"/f"{name}.ipynb"))
    types = {"str": str, "int": int, "float": float, "bool": bool, "dict": dict}
    for parameter in known.values():
        assert parameter["inferred_type_name"] in types, parameter
        default = eval(parameter["default"])
        assert default is None or type(default) is types[parameter["inferred_type_name"]], parameter
    assert all(parameter["help"] for parameter in known.values())


def test_a_sweep_is_a_group(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_GROUP", "trade")
    monkeypatch.setenv("WANDB_TAGS", "sweep,smoke")
    with Tracker(tmp_path/"run", {}, "offline") as track: track.log({"epoch": 1, "val/rate": 1.})
    (run,) = read_runs(tmp_path/"run")
    assert run.group == "trade" and run.tags == ["sweep", "smoke"]


def test_a_hint_can_be_pasted(tmp_path):
    path = tmp_path/"my grids"/"it's.npz"
    with pytest.raises(DatasetError) as error: load_corpus(path)
    hint = str(error.value).split("`")[1]
    assert shlex.split(hint) == ["arc-vae", "corpus", "make", "--out", str(path)]


def test_git_ignores_what_is_built_and_made():
    names = ["build/lib/x.py", "dist/a.whl", "corpus.npz", "arc_vae.egg-info/x"]
    done = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == names


def test_a_sweep_takes_any_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = []

    def note(trainings, done): trained.append({name: (cfg.latent_dim, cfg.lr) for name, cfg in trainings.items()})

    def sweep(*words): return CliRunner().invoke(main, ["sweep", "--preset", "tiny", "--run", "s", *words])

    monkeypatch.setattr("arc_vae.apps.cli.one_after_another", note)  # the plan is what matters here
    sweep("--set", "n_corpus=50", "--betas", "2", "--over", "latent_dim=8,10", "--over", "lr=0.001,0.01")
    assert trained[0] == {"s-latent_dim8-lr0.001-beta2-seed0": (8, .001)}
    for words, said in {("latent=8",): "unknown setting 'latent', did you mean 'latent_dim'",
                        ("latent_dim=8,0",): "latent_dim: expected at least 1",
                        ("seed=1,2",): "seed: the sweep sets it",
                        ("latent_dim",): "--over: expected field=value,value"}.items():
        done = sweep("--over", *words)
        assert done.exit_code == 1 and said in done.output, done.output
    assert len(trained) == 1, "nothing was trained"

"""The whole road, as a person takes it: the command line, papermill, files, and what is refused on the way."""
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress

import nbformat
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from conftest import BIN, ROOT, command, contents
from wandb_records import read_runs

import arc_vae
from arc_vae.apps.cli import main
from arc_vae.train import small_run

STAGES = ("02_train", "03_evaluate", "04_latent_viz", "05_sample")
FILES = """
config.json log.jsonl training.json metrics.json report.html samples.npz samples.json evaluation.npz
02_train.ipynb 03_evaluate.ipynb 04_latent_viz.ipynb 05_sample.ipynb
checkpoints/last.pth checkpoints/vae_best.pth checkpoints/encoder.pth checkpoints/decoder.pth
checkpoints/beta_mid.pth checkpoints/beta_final.pth
figures/learning.png figures/reconstructions.png
figures/latent_map.png figures/traversals.png figures/interpolations.png figures/samples.png
figures/meaning.png figures/failures.png
""".split()
METRICS = dict(
    corpus="path sha256 n_train n_val n_test background_share",
    model="preset latent_dim n_parameters",
    training="epochs best_epoch beta_final seconds grids_per_second device threads",
    test="""
n_grids pixel_accuracy all_background_accuracy skill foreground_accuracy balanced_color_accuracy exact_match
per_color_accuracy distortion rate kl_divergence elbo bits_per_grid kl_per_dim active_dims active_units
foreground_precision object_recall intervals likelihood code unseen by_factor failures meaning
baselines""")
EPOCH_LINE = re.compile(
    r"^epoch +(\d+)/(\d+)  β ([\d.]+)  D +[\d.]+ R +[\d.]+  colored +[\d.]+%  "
    r"cells [\d.]+% \(black [\d.]+%\)  left \d+:\d\d", re.M)
ACCURACIES = ("pixel_accuracy", "skill", "foreground_accuracy", "foreground_precision", "balanced_color_accuracy",
              "object_recall", "exact_match")
ERRORS = ("whole", "wrong color", "smeared", "dropped")


def read(path):
    return json.loads(path.read_text())


# What a run leaves behind

def test_a_run_leaves_every_file_and_notebooks_without_demos(smoke):
    assert [name for name in FILES if not (smoke/name).is_file() or not (smoke/name).stat().st_size] == []
    assert not list(smoke.rglob("*.part*")), "no temporary file is left"
    for name in STAGES:
        for cell in nbformat.read(smoke/f"{name}.ipynb", as_version=4).cells:
            if cell.cell_type != "code": continue
            assert not [output for output in cell.outputs if output.output_type == "error"]
            assert (cell.execution_count is None) == ("demo" in cell.metadata.get("tags", [])), "demos are for readers"


def test_one_line_an_epoch_and_the_verdict_at_the_end(smoke):
    said = (smoke.parents[1]/"said.txt").read_text()
    assert "\x1b" not in said
    lines = EPOCH_LINE.findall(said)
    assert [int(n) for n, _, _ in lines] == list(range(1, read(smoke/"training.json")["epochs"] + 1))
    assert float(lines[-1][2]) == read(smoke/"config.json")["beta_final"]
    tables = said[said.index("this model"):]
    assert max(len(line) for line in said.splitlines() if line.startswith("epoch ") or line in tables) <= 100
    assert said.rstrip().endswith(f"{read(smoke/'metrics.json')['verdict']}: outputs/smoke/report.html")


def test_a_terminal_shows_how_far_it_is(tmp_path):
    "A line that changes in place below the epochs, gone in the end. In a file there is none of it."
    words = [str(BIN/"arc-vae"), "train", "--preset", "tiny", "--set", "n_corpus=6000", "--run", "a"]
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    with suppress(OSError):  # which is how the end of a terminal looks
        while more := os.read(terminal, 1 << 16): seen += more
    os.close(terminal)
    assert process.wait(60) == 0
    assert re.search(rb"\x1b\[2Kepoch 1/3: \d+%, \d+:\d\d left, \d+:\d\d to the end\r", seen)
    assert len(re.findall(rb"[\r\n]epoch  \d/3 ", seen.replace(b"\x1b[2K", b""))) == 3
    notebook = (tmp_path/"outputs"/"a"/"02_train.ipynb").read_text()
    assert "\x1b" not in notebook and "\\u001b" not in notebook


def test_metrics_keep_their_contract_and_fit_together(smoke):
    m = read(smoke/"metrics.json")
    t = m["test"]
    assert (m["schema_version"], m["verdict"], m["reasons"]) == (1, "pass", [])
    assert m["status"] in ("completed", "early_stopped")
    for part, keys in METRICS.items(): assert set(keys.split()) <= set(m[part]), part
    assert m["corpus"]["sha256"] == read(smoke/"config.json")["corpus_sha256"]
    assert t["skill"] > .2, "even a minute of training beats the black picture"
    assert t["active_units"] >= 8
    assert (t["n_grids"], len(t["kl_per_dim"]), len(t["per_color_accuracy"])) == (1000, 10, 10)
    assert t["rate"] == t["kl_divergence"] == pytest.approx(sum(t["kl_per_dim"]), abs=1e-4)
    assert t["elbo"] == pytest.approx(-t["distortion"] - t["rate"])
    black = t["all_background_accuracy"]
    assert t["skill"] == pytest.approx((t["pixel_accuracy"] - black)/(1 - black))
    assert t["baselines"]["all_background"]["pixel_accuracy"] == black
    assert black == pytest.approx((np.load(smoke/"evaluation.npz")["x"] == 0).mean())
    for name in ACCURACIES:
        low, high = t["intervals"][name]
        assert low < t[name] < high < low + .1
        for baseline in t["baselines"].values(): assert name in baseline and name in baseline["intervals"]


def test_the_evidence_beside_the_accuracies(smoke):
    t = read(smoke/"metrics.json")["test"]
    memory, likelihood, found = t["baselines"]["nearest_training_grid"], t["likelihood"], t["failures"]
    assert t["foreground_accuracy"] > memory["foreground_accuracy"], "better than memory"
    assert likelihood["n_grids"] == 1000
    assert -likelihood["elbo"] + .1 >= -likelihood["log_likelihood"] > 34, "no model can be below the entropy"
    assert t["code"]["distortion_shuffled"] > 2*t["distortion"]
    assert abs(t["code"]["mutual_information"] + t["code"]["aggregate_kl"] - t["rate"]) < 1e-3
    assert found["objects"] == sum(found[error] for error in ERRORS) > 2000


def test_each_phase_is_kept_and_judged(smoke):
    m = read(smoke/"metrics.json")
    phases = m["phases"]
    assert [phase["beta"] for phase in phases.values()] == [1, 2, 2]
    for key in ("pixel_accuracy", "foreground_accuracy", "elbo"):
        assert phases["best"]["test"][key] == pytest.approx(m["test"][key])
    mid = arc_vae.load(smoke/"checkpoints"/"beta_mid.pth")
    x = torch.from_numpy(np.load(smoke/"evaluation.npz")["x"])
    accuracy = (mid.reconstruct(x) == x).double().mean().item()
    assert accuracy == pytest.approx(phases["end of first ramp"]["test"]["pixel_accuracy"])


def test_runs_are_compared(smoke):
    worse, cwd = smoke.parent/"worse", smoke.parents[1]
    shutil.copytree(smoke, worse, ignore=shutil.ignore_patterns("wandb"))
    evaluation = dict(np.load(worse/"evaluation.npz"))
    evaluation["pred"][:300] = 0
    np.savez(worse/"evaluation.npz", **evaluation)
    done = command("arc-vae", "compare", "smoke", "worse", cwd=cwd)
    shutil.rmtree(worse)
    exact = r"^exact grids .*%  +-\d[\d.]*%  \[-[\d.]+%, -[\d.]+%\] +worse$"
    assert re.search(exact, done.stdout, re.M), done.stdout
    assert re.search(r"^rate .* 0\.000  \[0\.000, 0\.000\] +no clear difference$", done.stdout, re.M), done.stdout
    done = command("arc-vae", "compare", "smoke", "--run", "smok", cwd=cwd)
    assert done.returncode == 1 and "did you mean 'smoke'" in done.stdout


def test_the_report_stands_alone(smoke):
    page = (smoke/"report.html").read_text()
    assert page.count("data:image/png;base64,") == 12 + 9
    assert not re.search(r"(src|href)=.(?!data:|#)", page)
    assert len(page.encode()) < 3e6
    t = read(smoke/"metrics.json")["test"]
    accuracy = f"<b>{t['pixel_accuracy']:.1%}</b>"
    baseline = f"<small>background alone: {t['all_background_accuracy']:.1%}</small>"
    assert accuracy + baseline in "".join(page.split("\n")), "no accuracy without its baseline, above all on top"
    assert "make run PRESET=smoke ARGS=" in page
    assert "--set seed=0" in page


# Weights and samples

IN_PLAIN_TORCH = """
import sys, torch
from torch import nn
sys.modules["arc_vae"] = None
e, d, v = (torch.load(f"{n}.pth", weights_only=True) for n in ("encoder", "decoder", "vae_best"))
encoder = nn.Sequential(
    nn.Conv2d(10, 32, 3, 1, 1), nn.ReLU(),
    nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
    nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(),
    nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 20))
encoder.load_state_dict({k.removeprefix("net."): t for k, t in e["state_dict"].items()})
halves = {f"encoder.{k}": t for k, t in e["state_dict"].items()}
halves |= {f"decoder.{k}": t for k, t in d["state_dict"].items()}
assert halves.keys() == v["state_dict"].keys()
assert all(torch.equal(t, v["state_dict"][name]) for name, t in halves.items())
x = nn.functional.one_hot(torch.arange(256).view(1, 16, 16) % 10, 10).movedim(-1, 1).float()
print(*encoder(x)[0, :10].tolist())
"""


def test_weights_open_in_plain_torch(tmp_path):
    "A process that cannot import arc_vae rebuilds the reference network from the files; it computes the same."
    run = small_run(tmp_path/"reference", network="reference", n_corpus=500, epochs=1)
    done = subprocess.run([sys.executable, "-I", "-c", IN_PLAIN_TORCH], cwd=run/"checkpoints", capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    mu = torch.tensor([float(word) for word in done.stdout.split()])
    assert torch.allclose(mu, arc_vae.load(run).encode(torch.arange(256).view(16, 16) % 10)[0], atol=1e-5)


def test_evaluation_decoded_the_posterior_mean(smoke):
    evaluation = np.load(smoke/"evaluation.npz")
    x, predicted = (torch.from_numpy(evaluation[name][:200]) for name in ("x", "pred"))
    assert torch.equal(arc_vae.load(smoke).reconstruct(x), predicted)


def test_samples_are_grids_beside_real_ones(smoke):
    samples, report = np.load(smoke/"samples.npz"), read(smoke/"samples.json")
    grids, z = samples["grids"], samples["z"]
    assert (grids.shape, grids.dtype, z.shape) == ((1000, 16, 16), np.uint8, (1000, 10))
    assert (arc_vae.load(smoke).decode(z[:50]).numpy() == grids[:50]).all()
    real = report["test"]
    for name in ("prior", "mixture"):
        sampled = report[name]
        assert set(sampled) == set(real) and sampled["n"] == real["n"] == 1000
        assert 0 < sampled["valid_share"] <= 1
        assert sampled["new_family_share"] <= sampled["new_share"]
    assert real["valid_share"] > .9


# Sweeps

EVALUATED = ("metrics.json", "evaluation.npz", "checkpoints/vae_best.pth", "figures/failures.png")
TINY = ("--preset", "tiny", "--set", "n_corpus=300")
SWEEP = ("sweep", *TINY, "epochs=1", "--set", "wandb=disabled", "--run", "s", "--betas")


def betas_of(sweep):
    "Of the runs that a sweep lists."
    return [run["beta"] for run in read(sweep/"sweep.json")["runs"]]


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path):
    "One of two runs side by side cannot be done at first; the same command goes on with it, and leaves the other."
    outputs = tmp_path/"outputs"
    first, second = outputs/"s-beta0.5-seed0", outputs/"s-beta2-seed0"
    second.mkdir(parents=True)
    (second/"config.json").write_text("no json")
    done = command("arc-vae", *SWEEP, "0.5,2", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "Error: s-beta2-seed0: not done; the same command goes on with them" in done.stdout, done.stdout
    assert "s-beta2-seed0: Error: " in done.stdout, done.stdout
    assert betas_of(outputs/"s") == [.5]
    before = contents(first)
    (second/"config.json").unlink()
    done = command("arc-vae", *SWEEP, "0.5,2", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0 and contents(first) == before, done.stdout
    assert "| 0.5 | 1 |" in done.stdout, done.stdout
    assert (outputs/"s"/"figures"/"rate_distortion.png").stat().st_size
    assert betas_of(outputs/"s") == [.5, 2]
    for run in read(outputs/"s"/"sweep.json")["runs"]:
        assert run["pixel_accuracy"] == read(outputs/run["name"]/"metrics.json")["test"]["pixel_accuracy"]
    before = contents(second)
    (second/"metrics.json").unlink()
    done = command("arc-vae", *SWEEP, "0.5,2", cwd=tmp_path)
    assert done.returncode == 0 and "training: " not in done.stdout, done.stdout
    assert done.stdout.count("evaluated already") == 1, done.stdout
    after = contents(second)
    for name in EVALUATED: assert after[name] == before[name], name
    done = command("arc-vae", *SWEEP, "2", "--set", "lr=0.5", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "Error: outputs/s-beta2-seed0: lr: the run has 0.001, the sweep asks for 0.5" in done.stdout, done.stdout


# Weights & Biases

CURVES = """
beta lr train/distortion train/rate train/objective train/grad_norm
train_epoch/distortion train_epoch/rate train_epoch/elbo train_epoch/objective
val/distortion val/rate val/elbo val/objective val/pixel_accuracy val/all_background_accuracy val/skill
val/foreground_accuracy val/exact_match sys/grids_per_second sys/seconds sys/seconds_left latent/active_dims
""".split() + [f"latent/kl_z{i}" for i in range(10)]
PANELS = dict(
    train="val/reconstructions samples/prior latent/kl_per_dim",
    evaluate="latent/test_kl_per_dim latent/test_means",
    explore="latent/latent_map latent/traversals latent/interpolations",
    sample="samples/prior")


@pytest.fixture(scope="module")
def wandb_runs(smoke):
    "Job -> what W&B recorded of it, read back with `wandb leet inspect`."
    runs = read_runs(smoke)
    assert [run.job for run in runs] == ["train", "evaluate", "explore", "sample"]
    return {run.job: run for run in runs}


def test_wandb_has_one_run_with_every_curve_and_panel(smoke, wandb_runs):
    wandb_id = read(smoke/"config.json")["wandb_id"]
    assert {(run.id, run.exit_code) for run in wandb_runs.values()} == {(wandb_id, 0)}
    keys = {job: {key for row in run.history for key in row} for job, run in wandb_runs.items()}
    assert set(CURVES) <= keys["train"]
    for job, names in PANELS.items(): assert set(names.split()) <= keys[job], job
    training = wandb_runs["train"]
    assert [row["epoch"] for row in training.history if "val/objective" in row] == [0, 1, 2, 3, 4]
    assert len([row for row in training.history if "val/reconstructions" in row]) >= 2, "pictures over time"
    assert {axis for run in wandb_runs.values() for axis in run.axes.values() if axis} <= {"epoch", "step"}
    assert {training.axes[f"{family}/*"] for family in ("train_epoch", "val", "latent", "sys", "samples")} == {"epoch"}
    mixed = [row for row in training.history if "epoch" in row and any(k.startswith("train/") for k in row)]
    assert mixed == [], "steps and means over an epoch are different curves"


def test_wandb_has_settings_results_and_weights(smoke, wandb_runs):
    m = read(smoke/"metrics.json")
    config, summary = wandb_runs["train"].config, wandb_runs["evaluate"].summary
    assert (config["epochs"], config["lr"]) == (4, 1e-3)
    assert summary["test/skill"] == pytest.approx(m["test"]["skill"])
    assert summary["test/baseline/pixel_accuracy"] == pytest.approx(m["test"]["all_background_accuracy"])
    assert summary["verdict"] == m["verdict"]
    assert [run.summary["epoch"] for run in wandb_runs.values()] == [m["training"]["epochs"]]*4
    artifacts = {artifact.name: artifact for artifact in wandb_runs["train"].artifacts}
    best = ["best", "latest"]
    aliases = {name: artifact.aliases for name, artifact in artifacts.items()}
    assert aliases == dict(vae=best, encoder=best, decoder=best, checkpoint=["latest"])
    for name in ("vae", "encoder", "decoder"):
        metadata = artifacts[name].metadata
        assert metadata["corpus_sha256"] == m["corpus"]["sha256"]
        assert metadata["best_epoch"] == metadata["epoch"] == m["training"]["best_epoch"]


def test_a_sweep_of_wandb_would_run(tmp_path):
    "The command that an agent makes of sweep.yaml, with the environment it gives."
    sweep = yaml.safe_load((ROOT/"sweep.yaml").read_text())
    assert sweep["metric"]["name"] == "test/elbo"
    first = [f"{name}={parameter['values'][0]}" for name, parameter in sweep["parameters"].items()]
    agent = {"${env}": [], "${args_no_hyphens}": first, "default": ["tiny"], "wandb=online": ["wandb=offline"],
             "run": ["train"]}
    words = [word for each in sweep["command"] for word in agent.get(each, [each])]
    done = command(*words, "n_corpus=300", "epochs=1", "--run", "a", cwd=tmp_path,
                   env=dict(WANDB_RUN_ID="agent1", WANDB_SWEEP_ID="sweep1"))
    assert done.returncode == 0, done.stdout
    config = read(tmp_path/"outputs"/"a"/"config.json")
    assert config["wandb_id"] == read_runs(tmp_path/"outputs"/"a")[0].id == "agent1"
    assert [f"{name}={config[name]:g}" for name in sweep["parameters"]] == first


# What may be done again, and what is refused

def test_samples_can_be_drawn_again_and_a_run_is_not_overwritten(smoke):
    before = contents(smoke)
    done = command("arc-vae", "train", "--preset", "smoke", "--run", "smoke", cwd=smoke.parents[1])
    assert done.returncode == 1
    assert done.stdout == "Error: outputs/smoke already holds a run; choose another name, or remove it\n"
    assert contents(smoke) == before
    done = command("arc-vae", "sample", "smoke", "--wandb", "disabled", cwd=smoke.parents[1])
    assert done.returncode == 0, done.stdout
    after = contents(smoke)
    again = ("samples.npz", "samples.json", "figures/samples.png")
    for name in (*EVALUATED, *again): assert after[name] == before[name], name


def test_another_corpus_or_checkpoint_is_refused(smoke, tmp_path):
    "The corpus changed since training, or a checkpoint of another shape: one line, and the old metrics stay."
    run = tmp_path/"outputs"/"copy"
    shutil.copytree(smoke, run, ignore=shutil.ignore_patterns("wandb"))
    before, files = (run/"metrics.json").read_text(), contents(run)
    for stage in ("evaluate", "sample"):
        done = command("arc-vae", stage, "copy", "--corpus", "typo.npz", cwd=tmp_path)
        assert re.search(r"^Error: .*typo.npz: expected the corpus .* found no file", done.stdout, re.M), done.stdout
        assert contents(run) == files, "also the notebook as it was executed"
    weights = run/"checkpoints"/"vae_best.pth"
    best = torch.load(weights, weights_only=True)
    torch.save(best | {"latent_dim": 12}, weights)
    done = command("arc-vae", "evaluate", "--run", "copy", cwd=tmp_path)
    assert re.search(r"^Error: .*vae_best.pth: expected the weights of this network", done.stdout, re.M), done.stdout
    torch.save(best, weights)
    (run/"config.json").write_text(json.dumps(read(run/"config.json") | {"corpus_sha256": "0"*64}))
    done = command("arc-vae", "evaluate", "--run", "copy", cwd=tmp_path)
    assert done.returncode == 1 and "expected the corpus of the training, sha256 000000000000" in done.stdout
    assert (run/"metrics.json").read_text() == before


def test_papermill_parameters_change_the_run(tmp_path):
    "papermill by hand, without the command line; a setting that does not exist stops the notebook."
    def train(run_dir, settings):
        parameters = json.dumps(dict(run_dir=str(run_dir), settings=settings))
        return command("papermill", ROOT/"nbs"/"02_train.ipynb", tmp_path/"out.ipynb", "--cwd", ROOT/"nbs",
                       "-k", "python3", "--no-progress-bar", "-y", parameters)

    expected = dict(epochs=1, seed=7, batch_size=50, n_corpus=400)
    done = train(tmp_path/"runs"/"a", expected)
    assert done.returncode == 0, done.stdout
    config = read(tmp_path/"runs"/"a"/"config.json")
    assert {name: config[name] for name in expected} == expected and config["preset"] == "tiny"
    done = train(tmp_path/"runs"/"b", dict(epoch=1))
    assert done.returncode != 0 and "did you mean 'epochs'" in done.stdout
    assert not (tmp_path/"runs"/"b").exists()


GRIDS = np.zeros((20, 16, 16), np.uint8)
BAD_CORPORA = {  # what the refusal says -> arrays; None: no file
    "no such file": None,
    "expected whole numbers from 0 to 9, found 10": dict(train=GRIDS, val=GRIDS, test=GRIDS + 10)}


@pytest.mark.parametrize("reason", BAD_CORPORA)
def test_a_bad_corpus_is_one_line_and_no_run(tmp_path, monkeypatch, reason):
    monkeypatch.chdir(tmp_path)
    content = BAD_CORPORA[reason]
    if content: np.savez(tmp_path/"c.npz", **content)
    for words in (("corpus", "check", "c.npz"), ("run", "--corpus", "c.npz", "--run", "a")):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 1 and done.output.count("\n") == 1, done.output
        assert done.output.startswith("Error: ") and "c.npz" in done.output and reason in done.output, done.output
        assert not (tmp_path/"outputs").exists()


def test_runs_can_start_together(tmp_path):
    "Each kernel has sockets of its own, also where two runs are started in one place at one moment."
    words = [str(BIN/"arc-vae"), "train", *TINY, "--set", "epochs=1", "--run"]
    runs = {name: subprocess.Popen([*words, name], cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT) for name in ("one", "two")}
    for name, run in runs.items():
        printed, _ = run.communicate(timeout=300)
        assert run.returncode == 0 and "Invalid Signature" not in printed, printed
        assert (tmp_path/"outputs"/name/"checkpoints"/"vae_best.pth").exists()

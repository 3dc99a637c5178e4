"""The whole road, as a person takes it: the command line, papermill, files, and what is refused on the way."""
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress

import nbformat
import numpy as np
import papermill
import pytest
import torch
import yaml
from conftest import BIN, ROOT, command, contents
from wandb_records import read_runs

import arc_vae
from arc_vae.infra.runs import RunError
from arc_vae.apps.run import execute
from arc_vae.training.settings import TrainConfig
from arc_vae.train import small_run

STAGES = ("02_train", "03_evaluate", "04_latent_viz", "05_sample")
FILES = """
config.json log.jsonl training.json metrics.json report.html samples.npz samples.json evaluation.npz
02_train.ipynb 03_evaluate.ipynb 04_latent_viz.ipynb 05_sample.ipynb
checkpoints/last.pth checkpoints/vae_best.pth checkpoints/encoder.pth checkpoints/decoder.pth
checkpoints/beta_mid.pth checkpoints/beta_final.pth
figures/learning.png figures/reconstructions.png figures/errors.png figures/kl.png figures/by_factor.png
figures/latent_map.png figures/traversals.png figures/interpolations.png figures/samples.png
figures/sample_histograms.png figures/meaning.png figures/failures.png figures/pairs.png figures/neighbors.png
""".split()
METRICS = dict(
    corpus="path sha256 n_train n_val n_test background_share",
    model="preset latent_dim n_parameters",
    training="epochs best_epoch beta_final seconds grids_per_second device threads",
    test="""
n_grids pixel_accuracy all_background_accuracy skill foreground_accuracy balanced_color_accuracy exact_match
per_color_accuracy distortion rate kl_divergence elbo bits_per_grid kl_per_dim active_dims active_units
foreground_precision object_recall intervals at_most_wrong likelihood code unseen by_factor failures lines meaning
baselines""")
EPOCH_LINE = re.compile(
    r"^epoch +(\d+)/(\d+)  β ([\d.]+)  D +[\d.]+ R +[\d.]+  colored +[\d.]+%  "
    r"pixel [\d.]+% \(black [\d.]+%\)  left \d+:\d\d", re.M)
FATES = ("whole", "shifted", "resized", "wrong color", "smeared", "dropped")


def read(path):
    return json.loads(path.read_text())


def assert_refused(done):
    "The command ended with one line that says why."
    assert done.returncode == 1, done.stdout
    assert done.stdout.startswith("Error: "), done.stdout
    assert done.stdout.count("\n") == 1, done.stdout


# What a run leaves behind

def test_a_run_leaves_every_file(smoke):
    for name in FILES:
        assert (smoke/name).is_file(), name
        assert (smoke/name).stat().st_size, name
    assert not list(smoke.rglob("*.part*")), "no temporary file is left"


@pytest.mark.parametrize("name", STAGES)
def test_its_notebooks_were_run_without_demos(smoke, name):
    for cell in nbformat.read(smoke/f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type != "code": continue
        assert not [output for output in cell.outputs if output.output_type == "error"]
        skipped = cell.execution_count is None
        assert skipped == ("demo" in cell.metadata.get("tags", [])), "demos are for readers"


def test_one_line_an_epoch_and_the_verdict_at_the_end(smoke):
    said = (smoke.parents[1]/"said.txt").read_text()
    assert "\x1b" not in said
    lines = EPOCH_LINE.findall(said)
    assert [int(n) for n, _, _ in lines] == list(range(1, read(smoke/"training.json")["epochs"] + 1))
    assert float(lines[-1][2]) == read(smoke/"config.json")["beta_final"]
    assert max(len(line) for line in said.splitlines() if line.startswith("epoch ")) <= 100
    assert said.rstrip().endswith(f"{read(smoke/'metrics.json')['verdict']}: outputs/smoke/report.html")


def said_on_a_terminal(words, cwd):
    "All that a program prints on a real terminal until it ends."
    terminal, theirs = pty.openpty()
    process = subprocess.Popen([str(w) for w in words], cwd=cwd, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    with suppress(OSError):  # which is how the end of a terminal looks
        while more := os.read(terminal, 1 << 16):
            seen += more
    os.close(terminal)
    assert process.wait(60) == 0
    return seen.decode()


def test_a_terminal_shows_how_far_it_is(tmp_path):
    "A line that changes in place below the epochs, gone in the end. In a file there is none of it."
    words = (BIN/"arc-vae", "train", "--preset", "tiny", "--set", "n_corpus=6000", "--run", "a")
    seen = said_on_a_terminal(words, tmp_path)
    assert re.search(r"\x1b\[2Kepoch 1/3: \d+%, \d+:\d\d left, \d+:\d\d to the end\r", seen)
    assert len(re.findall(r"[\r\n]epoch  \d/3 ", seen.replace("\x1b[2K", ""))) == 3
    notebook = (tmp_path/"outputs"/"a"/"02_train.ipynb").read_text()
    assert "\x1b" not in notebook
    assert "\\u001b" not in notebook


def test_metrics_keep_their_contract(smoke):
    m = read(smoke/"metrics.json")
    assert m["schema_version"] == 1
    assert m["status"] in ("completed", "early_stopped")
    assert m["verdict"] == "pass"
    assert m["reasons"] == []
    for part, keys in METRICS.items():
        assert set(keys.split()) <= set(m[part]), part
    sha256 = read(smoke/"config.json")["corpus_sha256"]
    assert len(sha256) == 64
    assert m["corpus"]["sha256"] == sha256


def test_metrics_fit_together(smoke):
    t = read(smoke/"metrics.json")["test"]
    assert t["skill"] > .2, "even a minute of training beats the black picture"
    assert t["active_units"] >= 8
    assert t["n_grids"] == 1000
    assert len(t["kl_per_dim"]) == 10
    assert len(t["per_color_accuracy"]) == 10
    assert t["rate"] == t["kl_divergence"]
    assert t["kl_divergence"] == pytest.approx(sum(t["kl_per_dim"]), abs=1e-4)
    assert t["elbo"] == pytest.approx(-t["distortion"] - t["rate"])
    black = t["all_background_accuracy"]
    assert t["skill"] == pytest.approx((t["pixel_accuracy"] - black)/(1 - black))
    assert t["baselines"]["all_background"]["pixel_accuracy"] == black
    assert black == pytest.approx((np.load(smoke/"evaluation.npz")["x"] == 0).mean())


@pytest.mark.parametrize("name", ["pixel_accuracy", "skill", "foreground_accuracy", "foreground_precision",
                                  "balanced_color_accuracy", "object_recall", "exact_match"])
def test_every_accuracy_has_its_interval_and_its_baselines(smoke, name):
    t = read(smoke/"metrics.json")["test"]
    low, high = t["intervals"][name]
    assert low < t[name] < high
    assert high - low < .1
    baselines = t["baselines"]
    assert set(baselines) == {"all_background", "most_frequent_per_cell", "nearest_training_grid",
                              "principal_components"}
    for baseline in baselines.values():
        assert name in baseline
        assert name in baseline["intervals"]


def test_the_evidence_beside_the_accuracies(smoke):
    t = read(smoke/"metrics.json")["test"]
    memory = t["baselines"]["nearest_training_grid"]
    assert t["foreground_accuracy"] > memory["foreground_accuracy"], "better than memory"
    assert t["at_most_wrong"]["0"] == t["exact_match"]
    assert t["exact_match"] <= t["at_most_wrong"]["5"] <= t["at_most_wrong"]["50"]
    assert t["likelihood"]["log_likelihood"] > t["likelihood"]["elbo"]
    assert t["likelihood"]["n_grids"] == 1000
    assert t["code"]["distortion_shuffled"] > 2*t["distortion"]
    assert abs(t["code"]["mutual_information"] + t["code"]["aggregate_kl"] - t["rate"]) < 1e-3


def test_grids_that_were_seen_in_training_are_counted(smoke):
    m = read(smoke/"metrics.json")
    unseen = m["test"]["unseen"]
    x = np.load(smoke/"evaluation.npz")["x"]
    train = np.load(read(smoke/"config.json")["corpus"])["train"][:8000]
    seen = {grid.tobytes() for grid in train}
    assert unseen["n_exact"] == sum(grid.tobytes() in seen for grid in x)
    assert unseen["n_exact"] == 1000 - unseen["without_exact"]["n_grids"]
    assert unseen["n_relative"] >= unseen["n_exact"]
    assert {name: part["n_grids"] for name, part in m["arc"].items()} == dict(training=2869, evaluation=2548)


def test_every_object_has_one_fate(smoke):
    found = read(smoke/"metrics.json")["test"]["failures"]
    assert found["objects"] == sum(found[fate] for fate in FATES)
    assert found["objects"] > 2000
    assert found["invented"] >= 0


def test_each_phase_is_kept_and_judged(smoke):
    m = read(smoke/"metrics.json")
    phases = m["phases"]
    assert [phase["beta"] for phase in phases.values()] == [1, 2, 2]
    for phase in phases.values():
        assert phase["test"]["n_grids"] == 1000
        assert phase["test"]["active_units"] > 0
    for key in ("pixel_accuracy", "foreground_accuracy", "elbo"):
        assert phases["best"]["test"][key] == pytest.approx(m["test"][key])
    mid = arc_vae.load(smoke/"checkpoints"/"beta_mid.pth")
    x = torch.from_numpy(np.load(smoke/"evaluation.npz")["x"])
    accuracy = (mid.reconstruct(x) == x).double().mean().item()
    assert accuracy == pytest.approx(phases["end of first ramp"]["test"]["pixel_accuracy"])


def test_the_generator_is_the_floor(smoke):
    found = read(smoke/"metrics.json")["test"]["likelihood"]
    generator = found["generator"]
    assert found["n_grids"] == 1000
    assert generator["n"] + generator["n_left_out"] == 1000
    assert 30 < generator["mean"] < -found["log_likelihood"] <= -found["elbo"] + .1


def test_runs_are_compared(smoke):
    outputs = smoke.parent
    worse = outputs/"worse"
    shutil.copytree(smoke, worse, ignore=shutil.ignore_patterns("wandb"))
    evaluation = dict(np.load(worse/"evaluation.npz"))
    evaluation["pred"][:300] = 0
    np.savez(worse/"evaluation.npz", **evaluation)
    done = command("arc-vae", "compare", "smoke", "worse", cwd=outputs.parent)
    assert done.returncode == 0, done.stdout
    exact = r"^exact grids .* %  +-\d[\d.]* %  \[-[\d.]+ %, -[\d.]+ %\] +worse$"
    assert re.search(exact, done.stdout, re.M), done.stdout
    assert re.search(r"^rate .* 0\.000  \[0\.000, 0\.000\] +no clear difference$", done.stdout, re.M), done.stdout
    shutil.rmtree(worse)
    done = command("arc-vae", "compare", "smoke", "smok", cwd=outputs.parent)
    assert done.returncode == 1
    assert "did you mean 'smoke'" in done.stdout


def test_the_report_stands_alone(smoke):
    page = (smoke/"report.html").read_text()
    assert page.count("data:image/png;base64,") == 12 + 15
    assert not re.search(r"(src|href)=.(?!data:|#)", page)
    assert len(page.encode()) < 3e6
    parts = re.findall(r"<h2 id=.*?>(.*?)</h2>", page)
    assert parts == ["Twelve test grids, chosen by chance", "Ten questions", "Key figures", "What comes back",
                     "Other grids", "Calculating with the numbers", "What the numbers say", "Samples", "Training",
                     "Limits", "Statistics, and how to repeat it", "Glossary"]
    t = read(smoke/"metrics.json")["test"]
    accuracy = f"<b>{t['pixel_accuracy']:.1%}</b>"
    baseline = f"<small>all black: {t['all_background_accuracy']:.1%}</small>"
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
assert set(halves) == set(v["state_dict"])
for name, t in halves.items():
    assert torch.equal(t, v["state_dict"][name]), name
x = nn.functional.one_hot(torch.arange(256).view(1, 16, 16) % 10, 10).movedim(-1, 1).float()
print(*encoder(x)[0, :10].tolist())
"""
NETWORK_NAMES = """
import sys, torch
sys.modules["arc_vae"] = None
for name in ("encoder", "decoder", "vae_best", "last"):
    print(torch.load(f"{name}.pth", weights_only=True)["network"])
"""


def said_in_python(code, cwd):
    "What a program prints in a Python of its own, in words."
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_weights_open_in_plain_torch(tmp_path):
    """A process that cannot import arc_vae rebuilds the reference network from the files alone, and it computes the
    same."""
    run = small_run(tmp_path/"reference", network="reference", n_corpus=500, epochs=1)
    found = [float(word) for word in said_in_python(IN_PLAIN_TORCH, run/"checkpoints")]
    expected = arc_vae.load(run).encode(torch.arange(256).view(16, 16) % 10)[0]
    assert torch.allclose(torch.tensor(found), expected, atol=1e-5)


def test_every_checkpoint_opens_without_the_package(smoke):
    assert said_in_python(NETWORK_NAMES, smoke/"checkpoints") == ["objects_small"]*4


def test_evaluation_decoded_the_posterior_mean(smoke):
    evaluation = np.load(smoke/"evaluation.npz")
    x, predicted = (torch.from_numpy(evaluation[name][:200]) for name in ("x", "pred"))
    assert torch.equal(arc_vae.load(smoke).reconstruct(x), predicted)


def test_samples_are_grids(smoke):
    samples = np.load(smoke/"samples.npz")
    grids, z = samples["grids"], samples["z"]
    assert grids.shape == (1000, 16, 16)
    assert grids.dtype == np.uint8
    assert z.shape == (1000, 10)
    assert grids.max() < 10
    assert (arc_vae.load(smoke).decode(z[:50]).numpy() == grids[:50]).all()


def test_samples_stand_beside_real_grids(smoke):
    report = read(smoke/"samples.json")
    real = report["test"]
    for name in ("prior", "gaussian", "mixture"):
        sampled = report[name]
        assert set(sampled) == set(real)
        assert sampled["n"] == real["n"] == 1000
        assert 0 < sampled["valid_share"] <= 1
        assert 0 < sampled["color_distance"] < 1
        assert sampled["new_family_share"] <= sampled["new_share"]
    assert 0 < real["color_distance"] < .1
    assert 0 < real["size_distance"] < .1
    assert real["valid_share"] > .9


# Sweeps

TINY = ("--preset", "tiny", "--set", "n_corpus=300")
SWEEP = ("sweep", *TINY, "--set", "epochs=1", "--set", "wandb=disabled", "--run", "s", "--betas")
WRONG_SWEEPS = {  # name: (what --betas are and what else is asked, what the refusal says)
    "another rate": (("2", "--set", "lr=0.5"), "outputs/s-beta2-seed0: lr: the run has 0.001, the sweep asks for 0.5"),
    "a seed": (("2", "--set", "seed=3"), "seed: the sweep sets it"),
    "no number": (("2,x",), "--betas: expected numbers"),
}


def betas_of(sweep):
    "Of the runs that a sweep lists."
    return [run["beta"] for run in read(sweep/"sweep.json")["runs"]]


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path):
    outputs = tmp_path/"outputs"
    first, second = outputs/"s-beta0.5-seed0", outputs/"s-beta2-seed0"
    settings = (*TINY, "--set", "epochs=2", "--set", "wandb=disabled")

    def sweep(betas, *more):
        return command("arc-vae", "sweep", *settings, "--betas", betas, "--run", "s", *more, cwd=tmp_path)

    done = sweep("0.5")
    assert done.returncode == 0, done.stdout
    assert "| 0.5 | 1 |" in done.stdout, done.stdout
    before = contents(first)
    done = sweep("0.5,2")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("evaluated already") == 1, done.stdout
    assert done.stdout.count("training: ") == 1, done.stdout
    assert contents(first) == before
    assert (outputs/"s"/"figures"/"rate_distortion.png").stat().st_size
    assert betas_of(outputs/"s") == [.5, 2]
    for run in read(outputs/"s"/"sweep.json")["runs"]:
        test = read(outputs/run["name"]/"metrics.json")["test"]
        assert run["pixel_accuracy"] == test["pixel_accuracy"]
    (second/"metrics.json").unlink()
    done = sweep("2")
    assert done.returncode == 0, done.stdout
    assert "training: " not in done.stdout, done.stdout
    assert (second/"metrics.json").exists(), done.stdout
    for name, (asked, words) in WRONG_SWEEPS.items():
        done = sweep(*asked)
        assert done.returncode == 1, (name, done.stdout)
        assert done.stdout.splitlines()[-1].startswith("Error: "), (name, done.stdout)
        assert words in done.stdout, (name, done.stdout)


def test_a_sweep_of_runs_beside_each_other(tmp_path):
    "One of two cannot be done at first; the same command goes on with it."
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
    assert done.returncode == 0, done.stdout
    assert "| 2 | 1 |" in done.stdout, done.stdout
    assert contents(first) == before, done.stdout
    assert betas_of(outputs/"s") == [.5, 2]


def test_a_sweep_goes_to_a_cluster_and_comes_back(tmp_path):
    "Through submitit, whose jobs are processes of this machine here; Slurm itself is not there."
    outputs = tmp_path/"outputs"
    done = command("arc-vae", *SWEEP, "0.5", "--cluster", "local", "--slurm", "time=30", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "[1/1] s-beta0.5-seed0: done" in done.stdout, done.stdout
    assert "| 0.5 | 1 |" in done.stdout, done.stdout
    assert read(outputs/"s-beta0.5-seed0"/"metrics.json")["test"]["n_grids"] == 30
    logs = [path.read_text() for path in (outputs/"s"/"jobs").glob("*.out")]
    assert "epoch  1/1" in "".join(logs)
    done = command("arc-vae", *SWEEP, "0.5", "--cluster", "slurm", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1].startswith("Error: "), done.stdout
    assert "Traceback" not in done.stdout, done.stdout


# Weights & Biases

CURVES = """
beta lr train/distortion train/rate train/objective train/grad_norm
train_epoch/distortion train_epoch/rate train_epoch/elbo train_epoch/objective
val/distortion val/rate val/elbo val/objective val/pixel_accuracy val/all_background_accuracy val/skill
val/foreground_accuracy val/exact_match sys/grids_per_second sys/seconds sys/seconds_left latent/active_dims
""".split() + [f"latent/kl_z{i}" for i in range(10)]
PANELS = dict(
    train="val/reconstructions samples/prior latent/kl_per_dim",
    evaluate="latent/test_kl_per_dim latent/test_means test/grids",
    explore="latent/latent_map latent/pairs latent/neighbors latent/traversals latent/interpolations",
    sample="samples/prior")


@pytest.fixture(scope="module")
def wandb_runs(smoke):
    "Job -> what W&B recorded of it, read back with `wandb leet inspect`."
    runs = read_runs(smoke)
    assert [run.job for run in runs] == ["train", "evaluate", "explore", "sample"]
    return {run.job: run for run in runs}


def test_wandb_has_one_run_from_training_to_sampling(smoke, wandb_runs):
    wandb_id = read(smoke/"config.json")["wandb_id"]
    for run in wandb_runs.values():
        assert run.id == wandb_id
        assert run.exit_code == 0


def test_wandb_has_every_curve_and_panel(wandb_runs):
    "Every key that the dashboard is promised."
    keys = {job: {key for row in run.history for key in row} for job, run in wandb_runs.items()}
    assert set(CURVES) <= keys["train"]
    for job, names in PANELS.items():
        assert set(names.split()) <= keys[job], job
    pictured = [row for row in wandb_runs["train"].history if "val/reconstructions" in row]
    assert len(pictured) >= 2, "pictures over time"


def test_wandb_knows_the_axes(wandb_runs):
    for run in wandb_runs.values():
        assert {axis for axis in run.axes.values() if axis} <= {"epoch", "step"}
        assert run.axes.get("train/*", "step") == "step"
    for family in ("train_epoch/*", "val/*", "latent/*", "sys/*", "samples/*"):
        assert wandb_runs["train"].axes[family] == "epoch"
    mixed = [row for row in wandb_runs["train"].history if "epoch" in row and any(k.startswith("train/") for k in row)]
    assert mixed == [], "steps and means over an epoch are different curves"


def test_wandb_has_settings_and_results(smoke, wandb_runs):
    m = read(smoke/"metrics.json")
    config, summary = wandb_runs["train"].config, wandb_runs["evaluate"].summary
    assert config["epochs"] == 4
    assert config["lr"] == 1e-3
    assert summary["test/skill"] == pytest.approx(m["test"]["skill"])
    assert summary["test/baseline/pixel_accuracy"] == pytest.approx(m["test"]["all_background_accuracy"])
    assert summary["verdict"] == m["verdict"]


def test_wandb_has_the_weights(smoke, wandb_runs):
    m = read(smoke/"metrics.json")
    artifacts = {artifact.name: artifact for artifact in wandb_runs["train"].artifacts}
    best = ["best", "latest"]
    aliases = {name: artifact.aliases for name, artifact in artifacts.items()}
    assert aliases == dict(vae=best, encoder=best, decoder=best, checkpoint=["latest"])
    for name in ("vae", "encoder", "decoder"):
        metadata = artifacts[name].metadata
        assert metadata["corpus_sha256"] == m["corpus"]["sha256"]
        assert metadata["best_epoch"] == metadata["epoch"] == m["training"]["best_epoch"]
        assert metadata["val_skill"] > 0


def test_wandb_has_a_table_of_test_grids_and_the_report(wandb_runs):
    evaluation, explore = wandb_runs["evaluate"], wandb_runs["explore"]
    file = next(file for file in evaluation.files if file.name.endswith(".table.json"))
    table = read(file)
    assert table["columns"][:5] == ["grid", "original", "reconstruction", "wrong", "wrong cells"]
    assert 24 <= len(table["data"]) <= 48
    (artifact,) = [artifact for artifact in evaluation.artifacts if artifact.type == "run_table"]
    pictures = {name for name in artifact.files if name.endswith(".png")}
    assert len(pictures) > len(table["data"]), "the table's pictures are in an artifact beside it"
    reports = [artifact for artifact in explore.artifacts if artifact.type == "report"]
    assert [artifact.name for artifact in reports] == ["report"]
    assert sorted(reports[0].files) == ["metrics.json", "report.html"]


def words_of_an_agent(sweep, settings):
    "The command that an agent of W&B makes of a sweep, with one setting of each parameter."
    words = []
    for word in sweep["command"]:
        if word == "${args_no_hyphens}":
            words += settings
        elif word != "${env}":
            words.append(word)
    return words


def test_a_sweep_of_wandb_would_run(tmp_path):
    "The command that an agent makes of sweep.yaml, with the environment it gives."
    sweep = yaml.safe_load((ROOT/"sweep.yaml").read_text())
    parameters = sweep["parameters"]
    assert set(parameters) <= set(TrainConfig.model_fields)
    assert sweep["metric"]["name"] == "test/elbo"
    first = [f"{name}={parameter['values'][0]}" for name, parameter in parameters.items()]
    words = words_of_an_agent(sweep, first)
    assert words[:2] == ["arc-vae", "run"]
    smaller = {"default": "tiny", "wandb=online": "wandb=offline"}
    words = [smaller.get(word, word) for word in words]
    done = command("arc-vae", "train", *words[2:], "n_corpus=300", "epochs=1", "--run", "a", cwd=tmp_path,
                   env=dict(WANDB_RUN_ID="agent1", WANDB_SWEEP_ID="sweep1"))
    assert done.returncode == 0, done.stdout
    config = read(tmp_path/"outputs"/"a"/"config.json")
    assert config["wandb_id"] == "agent1"
    assert read_runs(tmp_path/"outputs"/"a")[0].id == "agent1"
    assert [f"{name}={config[name]:g}" for name in parameters] == first


# What may be done again, and what is refused

def test_a_stage_can_be_run_again_alone(smoke):
    before = contents(smoke)
    for stage in ("evaluate", "sample"):
        done = command("arc-vae", stage, "--run", "smoke", "--wandb", "disabled", cwd=smoke.parents[1])
        assert done.returncode == 0, done.stdout
    after = contents(smoke)
    for name in ("metrics.json", "evaluation.npz", "latent.npz", "samples.npz", "samples.json", "report.html",
                 "checkpoints/vae_best.pth", "figures/errors.png", "figures/latent_map.png", "figures/samples.png"):
        assert after[name] == before[name], name


def test_a_run_is_not_overwritten(smoke):
    before = contents(smoke)
    done = command("arc-vae", "train", "--preset", "smoke", "--run", "smoke", cwd=smoke.parents[1])
    assert done.returncode == 1
    assert done.stdout == "Error: outputs/smoke already holds a run; choose another name, or remove it\n"
    assert contents(smoke) == before


def test_another_corpus_or_checkpoint_is_refused(smoke, tmp_path):
    "The corpus changed since training, or a checkpoint of another shape: one line, and the old metrics stay."
    (tmp_path/"outputs").mkdir()
    run = tmp_path/"outputs"/"copy"
    shutil.copytree(smoke, run, ignore=shutil.ignore_patterns("wandb"))
    before = (run/"metrics.json").read_text()
    weights = run/"checkpoints"/"vae_best.pth"
    best = torch.load(weights, weights_only=True)
    torch.save(best | {"latent_dim": 12}, weights)
    done = command("arc-vae", "evaluate", "--run", "copy", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    shapes = r"Error: .*vae_best.pth: .*: expected float32 \([\d, ]+\), found float32 \([\d, ]+\)\n"
    assert re.search(shapes, done.stdout), done.stdout
    torch.save(best, weights)
    config = read(run/"config.json") | {"corpus_sha256": "0"*64}
    (run/"config.json").write_text(json.dumps(config))
    done = command("arc-vae", "evaluate", "--run", "copy", cwd=tmp_path)
    assert done.returncode == 1
    assert "expected the corpus of the training, sha256 000000000000" in done.stdout
    assert (run/"metrics.json").read_text() == before


def test_papermill_parameters_change_the_run(tmp_path):
    "papermill by hand, without the command line: -p counts, and a name that does not exist stops the notebook."
    def train(**parameters):
        words = [word for name, value in parameters.items() for word in ("-p", name, value)]
        return command("papermill", ROOT/"nbs"/"02_train.ipynb", tmp_path/"out.ipynb", "--cwd", ROOT/"nbs",
                       "-k", "python3", "--no-progress-bar", *words)

    runs = tmp_path/"runs"
    done = train(run_dir=runs/"a", n_corpus=400, epochs=1, seed=7, batch_size=50)
    assert done.returncode == 0, done.stdout
    config = read(runs/"a"/"config.json")
    expected = dict(epochs=1, seed=7, batch_size=50, n_corpus=400, preset="tiny")
    assert {name: config[name] for name in expected} == expected
    done = train(run_dir=runs/"b", epoch=1)
    assert done.returncode != 0
    assert "did you mean 'epochs'" in done.stdout
    assert not (runs/"b").exists()


def saved(save, arrays):
    "What np.savez or np.savez_compressed would write."
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def claiming():
    "A corpus whose header claims 2^40 grids."
    text = repr(dict(descr="|u1", fortran_order=False, shape=(1 << 40, 16, 16))).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("train.npy", b"\x93NUMPY\x01\x00v\x00" + text.ljust(117) + b"\n")
        z.writestr("val.npy", b"")
        z.writestr("test.npy", b"")
    return file.getvalue()


GRIDS = np.zeros((20, 16, 16), np.uint8)
GOOD = dict(train=GRIDS, val=GRIDS, test=GRIDS)
PACKED = saved(np.savez_compressed, GOOD)
SIXTH = len(PACKED)//6
FLIPPED = PACKED[:SIXTH] + bytes([PACKED[SIXTH] ^ 255]) + PACKED[SIXTH + 1:]
DAMAGED = {  # name: (what the refusal says, the file's bytes or arrays; None: no file)
    "missing": ("no such file", None),
    "empty": ("expected an .npz", b""),
    "cut": ("expected an .npz", PACKED[:-40]),
    "flipped": ("damaged", FLIPPED),
    "text": ("expected an .npz", b"train,val,test\n"),
    "dtype": ("found float64", GOOD | dict(train=GRIDS.astype(float))),
    "shape": ("found uint8 (20, 8, 16)", GOOD | dict(val=GRIDS[:, :8])),
    "values": ("expected colors 0-9, found 10", GOOD | dict(test=GRIDS + 10)),
    "split": ("'test' is missing", dict(train=GRIDS, val=GRIDS)),
    "pickled": ("found object", GOOD | dict(train=np.array([{}]*20, dtype=object))),
    "claims": ("expected at most", claiming()),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_bad_corpora_are_one_line(tmp_path, name):
    words, content = DAMAGED[name]
    file = tmp_path/f"{name}.npz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.savez(file, **content)
    done = command("arc-vae", "corpus", "check", file.name, cwd=tmp_path)
    assert_refused(done)
    assert words in done.stdout
    assert file.name in done.stdout
    assert not (tmp_path/"outputs").exists()


def test_bad_corpora_are_no_run(tmp_path):
    (tmp_path/"cut.npz").write_bytes(PACKED[:-40])
    done = command("arc-vae", "run", "--corpus", "cut.npz", "--run", "a", cwd=tmp_path)
    assert done.returncode == 1
    assert not (tmp_path/"outputs").exists()


def test_parameters_are_known_before_a_kernel_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(papermill, "execute_notebook", lambda *a, **k: pytest.fail("a kernel was started"))
    with pytest.raises(RunError, match="has no parameter epoch"):
        execute("02_train", tmp_path/"run", epoch=3)
    assert not (tmp_path/"run").exists()


def test_runs_can_start_together(tmp_path):
    "Each kernel has sockets of its own, also where two runs are started in one place at one moment."
    words = [str(BIN/"arc-vae"), "train", *TINY, "--set", "epochs=1", "--run"]
    names = ("one", "two")
    both = [subprocess.Popen([*words, name], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for name in names]
    for run in both:
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0, said
        assert "Invalid Signature" not in said, said
    for name in names:
        assert (tmp_path/"outputs"/name/"checkpoints"/"vae_best.pth").exists()

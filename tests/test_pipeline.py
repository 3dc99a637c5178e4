"""The whole road, as a person takes it: the command line, papermill, files, and what is refused on the way."""
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import fields

import nbformat
import numpy as np
import papermill
import pytest
import torch
from conftest import BIN, ROOT, command, contents
from wandb_records import read_runs

import arc_vae
from arc_vae.checkpoint import load_halves
from arc_vae.train import small_run

FILES = """config.json log.jsonl training.json metrics.json report.html samples.npz samples.json evaluation.npz 02_train.ipynb 03_evaluate.ipynb 04_latent_viz.ipynb 05_sample.ipynb
checkpoints/last.pth checkpoints/vae_best.pth checkpoints/encoder.pth checkpoints/decoder.pth checkpoints/beta_mid.pth checkpoints/beta_final.pth figures/learning.png figures/reconstructions.png figures/errors.png figures/kl.png figures/by_factor.png
figures/latent_map.png figures/traversals.png figures/interpolations.png figures/samples.png figures/sample_histograms.png figures/meaning.png figures/failures.png figures/pairs.png figures/neighbors.png""".split()
METRICS = dict(
    corpus="path sha256 n_train n_val n_test background_share", model="preset latent_dim n_parameters", training="epochs best_epoch beta_final seconds grids_per_second device threads",
    test="""n_grids pixel_accuracy all_background_accuracy skill foreground_accuracy balanced_color_accuracy exact_match per_color_accuracy distortion rate kl_divergence elbo bits_per_grid
    kl_per_dim active_dims active_units foreground_precision object_recall intervals at_most_wrong likelihood code unseen by_factor failures lines meaning baselines""")


def read(path):
    return json.loads(path.read_text())


def test_a_run_leaves_every_file(smoke):
    assert [f for f in FILES if not (smoke/f).is_file() or not (smoke/f).stat().st_size] == []
    assert not list(smoke.rglob("*.part*")), "no temporary file is left"
    for name in ("02_train", "03_evaluate", "04_latent_viz", "05_sample"):
        cells = [c for c in nbformat.read(smoke/f"{name}.ipynb", as_version=4).cells if c.cell_type == "code"]
        assert not [o for c in cells for o in c.outputs if o.output_type == "error"]
        assert all((c.execution_count is None) == ("demo" in c.metadata.get("tags", [])) for c in cells), "demos are for readers"


def test_one_line_an_epoch_and_the_verdict_at_the_end(smoke):
    said = (smoke.parents[1]/"said.txt").read_text()
    assert "\x1b" not in said
    lines = re.findall(r"^epoch +(\d+)/(\d+)  β ([\d.]+)  distortion +[\d.]+  rate +[\d.]+  elbo +-[\d.]+  colored +[\d.]+%  pixel [\d.]+% \(black [\d.]+%\)  [\d,]+ grids/s  left \d+:\d\d", said, re.M)
    config = read(smoke/"config.json")
    assert [int(n) for n, _, _ in lines] == list(range(1, read(smoke/"training.json")["epochs"] + 1)) and float(lines[-1][2]) == config["beta_final"]
    assert said.rstrip().endswith(f"{read(smoke/'metrics.json')['verdict']}: outputs/smoke/report.html")


def test_a_terminal_shows_how_far_it_is(tmp_path):
    "A real terminal: a line that changes in place below the epochs, gone in the end. In a file there is none of it."
    terminal, ours = pty.openpty()
    run = subprocess.Popen([str(w) for w in (BIN/"arc-vae", "train", "--preset", "tiny", "--set", "n_corpus=6000", "--run", "a")], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=ours, stderr=ours)
    os.close(ours); seen = b""
    with suppress(OSError):  # which is how the end of a terminal looks
        while more := os.read(terminal, 1 << 16): seen += more
    os.close(terminal)
    assert run.wait(60) == 0
    seen = seen.decode()
    assert re.search(r"\x1b\[2Kepoch 1/3: \d+%, \d+:\d\d left\r", seen) and len(re.findall(r"[\r\n]epoch  \d/3 ", seen.replace("\x1b[2K", ""))) == 3
    assert "\x1b" not in (tmp_path/"outputs"/"a"/"02_train.ipynb").read_text() and "\\u001b" not in (tmp_path/"outputs"/"a"/"02_train.ipynb").read_text()


def test_metrics_keep_their_contract(smoke):
    m = read(smoke/"metrics.json")
    assert m["schema_version"] == 1 and m["status"] in ("completed", "early_stopped") and m["verdict"] == "pass" and m["reasons"] == []
    for part, keys in METRICS.items():
        assert set(keys.split()) <= set(m[part]), part
    t = m["test"]
    assert t["skill"] > .2 and t["active_units"] >= 8, "even a minute of training beats the black picture"
    assert t["n_grids"] == 1000 and len(t["kl_per_dim"]) == len(t["per_color_accuracy"]) == 10
    assert t["rate"] == t["kl_divergence"] == pytest.approx(sum(t["kl_per_dim"]), abs=1e-4) and t["elbo"] == pytest.approx(-t["distortion"] - t["rate"])
    assert t["skill"] == pytest.approx((t["pixel_accuracy"] - t["all_background_accuracy"])/(1 - t["all_background_accuracy"]))
    assert t["baselines"]["all_background"]["pixel_accuracy"] == t["all_background_accuracy"]
    black = np.load(smoke/"evaluation.npz")["x"] == 0
    assert t["all_background_accuracy"] == pytest.approx(black.mean())
    assert len(read(smoke/"config.json")["corpus_sha256"]) == 64 and m["corpus"]["sha256"] == read(smoke/"config.json")["corpus_sha256"]


def test_every_accuracy_has_its_interval_and_its_baselines(smoke):
    m = read(smoke/"metrics.json"); t = m["test"]
    assert set(t["baselines"]) == {"all_background", "most_frequent_per_cell", "nearest_training_grid", "principal_components"}
    for name in ("pixel_accuracy", "skill", "foreground_accuracy", "foreground_precision", "balanced_color_accuracy", "object_recall", "exact_match"):
        low, high = t["intervals"][name]
        assert low < t[name] < high and high - low < .1, name
        assert all(name in b and name in b["intervals"] for b in t["baselines"].values())
    assert t["foreground_accuracy"] > t["baselines"]["nearest_training_grid"]["foreground_accuracy"], "better than memory"
    assert t["at_most_wrong"]["0"] == t["exact_match"] <= t["at_most_wrong"]["5"] <= t["at_most_wrong"]["50"]
    assert t["likelihood"]["log_likelihood"] > t["likelihood"]["elbo"] and t["likelihood"]["n_grids"] == 1000
    assert t["code"]["distortion_shuffled"] > 2*t["distortion"] and abs(t["code"]["mutual_information"] + t["code"]["aggregate_kl"] - t["rate"]) < 1e-3
    x, train = np.load(smoke/"evaluation.npz")["x"], np.load(read(smoke/"config.json")["corpus"])["train"][:8000]
    seen = {g.tobytes() for g in train}
    assert t["unseen"]["n_exact"] == sum(g.tobytes() in seen for g in x) == 1000 - t["unseen"]["without_exact"]["n_grids"] and t["unseen"]["n_relative"] >= t["unseen"]["n_exact"]
    assert {k: v["n_grids"] for k, v in m["arc"].items()} == dict(training=2869, evaluation=2548)


def test_runs_are_compared(smoke, tmp_path):
    outputs = smoke.parent
    shutil.copytree(smoke, outputs/"worse", ignore=shutil.ignore_patterns("wandb"))
    e = dict(np.load(outputs/"worse"/"evaluation.npz")); e["pred"][:300] = 0
    np.savez(outputs/"worse"/"evaluation.npz", **e)
    done = command("arc-vae", "compare", "smoke", "worse", cwd=outputs.parent)
    assert done.returncode == 0 and re.search(r"^exact_match .* %  +-\d[\d.]* %  \[-[\d.]+ %, -[\d.]+ %\]$", done.stdout, re.M) and re.search(r"^rate .* 0\.000  \[0\.000, 0\.000\]$", done.stdout, re.M), done.stdout
    shutil.rmtree(outputs/"worse")
    done = command("arc-vae", "compare", "smoke", "smok", cwd=outputs.parent)
    assert done.returncode == 1 and "did you mean 'smoke'" in done.stdout


def test_the_report_stands_alone(smoke):
    page, t = (smoke/"report.html").read_text(), read(smoke/"metrics.json")["test"]
    assert page.count("data:image/png;base64,") == 14 and not re.search(r"(src|href)=.(?!data:)", page) and "all background" in page
    assert len(page.encode()) < 5e6
    parts = re.findall(r"<h2>(.*?)</h2>", page)
    assert parts == ["Phases of training", "Training", "Reconstructions", "The latent space", "Samples", "Limits", "How to repeat it"]
    assert f"<b>{t['pixel_accuracy']:.1%}</b><small>all black: {t['all_background_accuracy']:.1%}</small>" in page, "no accuracy without its baseline, above all on top"
    assert "make run PRESET=smoke ARGS=" in page and "--set seed=0" in page


def test_every_object_has_one_fate(smoke):
    found = read(smoke/"metrics.json")["test"]["failures"]
    assert found["objects"] == sum(found[k] for k in ("whole", "shifted", "resized", "wrong color", "smeared", "dropped")) > 2000 and found["invented"] >= 0


def test_weights_open_in_plain_torch(tmp_path):
    "A process that cannot import arc_vae rebuilds the reference network from the files alone, and it computes the same."
    run = small_run(tmp_path/"reference", network="reference", n_corpus=500, epochs=1)
    code = """
import sys, torch
from torch import nn
sys.modules["arc_vae"] = None
e, d, v = (torch.load(f"{n}.pth", weights_only=True) for n in ("encoder", "decoder", "vae_best"))
encoder = nn.Sequential(nn.Conv2d(10, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 20))
encoder.load_state_dict({k.removeprefix("net."): t for k, t in e["state_dict"].items()})
assert {f"encoder.{k}" for k in e["state_dict"]} | {f"decoder.{k}" for k in d["state_dict"]} == set(v["state_dict"])
assert all(torch.equal(t, v["state_dict"][f"{part}.{k}"]) for part, f in (("encoder", e), ("decoder", d)) for k, t in f["state_dict"].items())
assert e["export_id"] == d["export_id"] == v["export_id"]
x = nn.functional.one_hot(torch.arange(256).view(1, 16, 16) % 10, 10).movedim(-1, 1).float()
print(*encoder(x)[0, :10].tolist())
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=run/"checkpoints", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = arc_vae.load(run).encode(torch.arange(256).view(16, 16) % 10)[0]
    assert torch.allclose(torch.tensor([float(v) for v in done.stdout.split()]), ours, atol=1e-5)


def test_every_checkpoint_opens_without_the_package(smoke):
    code = "import sys, torch; sys.modules['arc_vae'] = None; print(*(torch.load(f'{n}.pth', weights_only=True)['network'] for n in ('encoder', 'decoder', 'vae_best', 'last')))"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=smoke/"checkpoints", capture_output=True, text=True)
    assert done.stdout.split() == ["objects_small"]*4, done.stderr


def test_halves_are_the_whole_bit_for_bit(smoke):
    whole, halves = arc_vae.load(smoke), load_halves(smoke/"checkpoints")
    x = torch.from_numpy(np.load(smoke/"evaluation.npz")["x"][:200])
    assert torch.equal(whole.encode(x), halves.encode(x)) and torch.equal(whole.decode(whole.encode(x), logits=True), halves.decode(halves.encode(x), logits=True))
    assert torch.equal(whole.reconstruct(x), torch.from_numpy(np.load(smoke/"evaluation.npz")["pred"][:200])), "evaluation decoded the posterior mean"


def test_samples_are_grids(smoke):
    s = np.load(smoke/"samples.npz")
    assert s["grids"].shape == (1000, 16, 16) and s["grids"].dtype == np.uint8 and s["z"].shape == (1000, 10) and s["grids"].max() < 10
    assert (arc_vae.load(smoke).decode(s["z"][:50]).numpy() == s["grids"][:50]).all()


def test_samples_stand_beside_real_grids(smoke):
    report = read(smoke/"samples.json")
    for name in ("prior", "gaussian", "mixture"):
        assert set(report[name]) == set(report["test"]) and report[name]["n"] == report["test"]["n"] == 1000
        assert 0 < report[name]["valid_share"] <= 1 and 0 < report[name]["color_distance"] < 1 and report[name]["new_family_share"] <= report[name]["new_share"]
    assert 0 < report["test"]["color_distance"] < .1 and 0 < report["test"]["size_distance"] < .1 and report["test"]["valid_share"] > .9


def test_each_phase_is_kept_and_judged(smoke):
    phases, test = read(smoke/"metrics.json")["phases"], read(smoke/"metrics.json")["test"]
    assert [p["beta"] for p in phases.values()] == [1, 2, 2] and all(p["test"]["n_grids"] == 1000 and p["test"]["active_units"] > 0 for p in phases.values())
    for key in ("pixel_accuracy", "foreground_accuracy", "elbo"): assert phases["best"]["test"][key] == pytest.approx(test[key])
    mid = arc_vae.load(smoke/"checkpoints"/"beta_mid.pth")
    x = torch.from_numpy(np.load(smoke/"evaluation.npz")["x"])
    assert (mid.reconstruct(x) == x).double().mean().item() == pytest.approx(phases["end of first ramp"]["test"]["pixel_accuracy"])


def test_the_generator_is_the_floor(smoke):
    found = read(smoke/"metrics.json")["test"]["likelihood"]
    assert found["n_grids"] == found["generator"]["n"] + found["generator"]["n_left_out"] == 1000 and 30 < found["generator"]["mean"] < -found["log_likelihood"] <= -found["elbo"] + .1


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path):
    def sweep(betas, *more): return command("arc-vae", "sweep", "--preset", "tiny", "--set", "n_corpus=300", "--set", "epochs=2", "--set", "wandb=disabled", "--betas", betas, "--run", "s", *more, cwd=tmp_path)
    done = sweep("0.5")
    assert done.returncode == 0 and "| 0.5 | 1 |" in done.stdout, done.stdout
    first = contents(tmp_path/"outputs"/"s-beta0.5-seed0")
    done = sweep("0.5,2")
    assert done.returncode == 0 and done.stdout.count("evaluated already") == 1 and done.stdout.count("training: ") == 1, done.stdout
    assert contents(tmp_path/"outputs"/"s-beta0.5-seed0") == first and (tmp_path/"outputs"/"s"/"figures"/"rate_distortion.png").stat().st_size
    rows = read(tmp_path/"outputs"/"s"/"sweep.json")["runs"]
    assert [r["beta"] for r in rows] == [.5, 2] and [r["pixel_accuracy"] for r in rows] == [read(tmp_path/"outputs"/r["name"]/"metrics.json")["test"]["pixel_accuracy"] for r in rows]
    (tmp_path/"outputs"/"s-beta2-seed0"/"metrics.json").unlink()
    done = sweep("2")
    assert done.returncode == 0 and "training: " not in done.stdout and (tmp_path/"outputs"/"s-beta2-seed0"/"metrics.json").exists(), done.stdout
    for words, said in ((("2", "--set", "lr=0.5"), "outputs/s-beta2-seed0: lr: the run has 0.001, the sweep asks for 0.5"), (("2", "--set", "seed=3"), "seed: the sweep sets it"), (("2,x",), "--betas: expected numbers")):
        done = sweep(*words)
        assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith("Error: ") and said in done.stdout, done.stdout


SWEEP = ("sweep", "--preset", "tiny", "--set", "n_corpus=300", "--set", "epochs=1", "--set", "wandb=disabled", "--run", "s", "--betas")


def test_a_sweep_of_runs_beside_each_other(tmp_path):
    "One of two cannot be done at first; the same command goes on with it."
    (tmp_path/"outputs"/"s-beta2-seed0").mkdir(parents=True)
    (tmp_path/"outputs"/"s-beta2-seed0"/"config.json").write_text("no json")
    done = command("arc-vae", *SWEEP, "0.5,2", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 1 and "Error: s-beta2-seed0: not done; the same command goes on with them" in done.stdout and "s-beta2-seed0: Error: " in done.stdout, done.stdout
    assert [r["beta"] for r in read(tmp_path/"outputs"/"s"/"sweep.json")["runs"]] == [.5]
    first = contents(tmp_path/"outputs"/"s-beta0.5-seed0")
    (tmp_path/"outputs"/"s-beta2-seed0"/"config.json").unlink()
    done = command("arc-vae", *SWEEP, "0.5,2", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0 and "| 2 | 1 |" in done.stdout and contents(tmp_path/"outputs"/"s-beta0.5-seed0") == first, done.stdout
    assert [r["beta"] for r in read(tmp_path/"outputs"/"s"/"sweep.json")["runs"]] == [.5, 2]


def test_a_sweep_goes_to_a_cluster_and_comes_back(tmp_path):
    "Through submitit, whose jobs are processes of this machine here; Slurm itself is not there."
    done = command("arc-vae", *SWEEP, "0.5", "--cluster", "local", "--slurm", "time=30", cwd=tmp_path)
    assert done.returncode == 0 and "[1/1] s-beta0.5-seed0: done" in done.stdout and "| 0.5 | 1 |" in done.stdout, done.stdout
    assert read(tmp_path/"outputs"/"s-beta0.5-seed0"/"metrics.json")["test"]["n_grids"] == 30 and any("epoch  1/1" in p.read_text() for p in (tmp_path/"outputs"/"s"/"jobs").glob("*.out"))
    done = command("arc-vae", *SWEEP, "0.5", "--cluster", "slurm", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith("Error: ") and "Traceback" not in done.stdout, done.stdout


CURVES = """beta lr train/distortion train/rate train/elbo train/objective train/grad_norm val/distortion val/rate val/elbo val/objective val/pixel_accuracy val/all_background_accuracy val/skill val/foreground_accuracy
val/exact_match sys/grids_per_second sys/seconds sys/seconds_left latent/active_dims""".split() + [f"latent/kl_z{i}" for i in range(10)]
PANELS = dict(train="val/reconstructions samples/prior latent/kl_per_dim", evaluate="latent/test_kl_per_dim latent/test_means test/grids", explore="latent/latent_map latent/pairs latent/neighbors latent/traversals latent/interpolations", sample="samples/prior")


def test_wandb_has_it_all_offline(smoke):
    "Every key that the dashboard is promised, in one W&B run from training to sampling, read back with `wandb leet inspect`."
    runs = read_runs(smoke); by_job = {r.job: r for r in runs}
    assert [r.job for r in runs] == ["train", "evaluate", "explore", "sample"] and {r.id for r in runs} == {read(smoke/"config.json")["wandb_id"]}
    assert [r.exit_code for r in runs] == [0]*4
    keys = {job: {k for row in r.history for k in row} for job, r in by_job.items()}
    assert set(CURVES) <= keys["train"] and all(set(names.split()) <= keys[job] for job, names in PANELS.items())
    for r in runs: assert {axis for name, axis in r.axes.items() if axis} <= {"epoch", "step"} and r.axes.get("train/*", "step") == "step"
    for family in ("val/*", "latent/*", "sys/*", "samples/*"): assert by_job["train"].axes[family] == "epoch"
    train, evaluation, m = by_job["train"], by_job["evaluate"], read(smoke/"metrics.json")
    assert train.config["epochs"] == 4 and train.config["lr"] == 1e-3 and evaluation.summary["test/skill"] == pytest.approx(m["test"]["skill"])
    assert evaluation.summary["test/baseline/pixel_accuracy"] == pytest.approx(m["test"]["all_background_accuracy"]) and evaluation.summary["verdict"] == m["verdict"]
    assert len([row for row in train.history if "val/reconstructions" in row]) >= 2, "pictures over time"
    artifacts = {a.name: a for a in train.artifacts}
    assert {n: a.aliases for n, a in artifacts.items()} == dict(vae=["best", "latest"], encoder=["best", "latest"], decoder=["best", "latest"], checkpoint=["latest"])
    for name in ("vae", "encoder", "decoder"):
        told = artifacts[name].metadata
        assert told["corpus_sha256"] == m["corpus"]["sha256"] and told["best_epoch"] == told["epoch"] == m["training"]["best_epoch"] and told["val_skill"] > 0
    table = next(json.loads(f.read_text()) for f in evaluation.files if f.name.endswith(".table.json"))
    assert table["columns"][:5] == ["grid", "original", "reconstruction", "wrong", "wrong cells"] and 24 <= len(table["data"]) <= 48
    (pictures,) = (a for a in evaluation.artifacts if a.type == "run_table")
    assert len({f for f in pictures.files if f.endswith(".png")}) > len(table["data"]), "the table's pictures are in an artifact beside it"
    assert [(a.name, sorted(a.files)) for a in by_job["explore"].artifacts if a.type == "report"] == [("report", ["metrics.json", "report.html"])]


def test_a_sweep_of_wandb_would_run(tmp_path):
    "The command that an agent makes of sweep.yaml, with the environment it gives."
    import yaml

    from arc_vae.train import TrainConfig
    sweep = yaml.safe_load((ROOT/"sweep.yaml").read_text())
    assert set(sweep["parameters"]) <= {f.name for f in fields(TrainConfig)} and sweep["metric"]["name"] == "test/elbo"
    first = [f"{name}={p['values'][0]}" for name, p in sweep["parameters"].items()]
    words = [w for word in sweep["command"] for w in (first if word == "${args_no_hyphens}" else [] if word == "${env}" else [word])]
    assert words[:2] == ["arc-vae", "run"]
    words = ["tiny" if w == "default" else "wandb=offline" if w == "wandb=online" else w for w in words]
    done = command("arc-vae", "train", *words[2:], "n_corpus=300", "epochs=1", "--run", "a", cwd=tmp_path, env=dict(WANDB_RUN_ID="agent1", WANDB_SWEEP_ID="sweep1"))
    assert done.returncode == 0, done.stdout
    config = read(tmp_path/"outputs"/"a"/"config.json")
    assert config["wandb_id"] == "agent1" == read_runs(tmp_path/"outputs"/"a")[0].id and [f"{k}={config[k]:g}" for k in sweep["parameters"]] == first


def test_a_stage_can_be_run_again_alone(smoke):
    before = contents(smoke)
    for words in (("evaluate", "--run", "smoke", "--wandb", "disabled"), ("sample", "--run", "smoke", "--wandb", "disabled")):
        assert (done := command("arc-vae", *words, cwd=smoke.parents[1])).returncode == 0, done.stdout
    after = contents(smoke)
    assert all(after[f] == before[f] for f in ("metrics.json", "evaluation.npz", "samples.npz", "checkpoints/vae_best.pth", "figures/errors.png"))


def test_a_run_is_not_overwritten(smoke):
    before = contents(smoke)
    done = command("arc-vae", "train", "--preset", "smoke", "--run", "smoke", cwd=smoke.parents[1])
    assert done.returncode == 1 and done.stdout == "Error: outputs/smoke already holds a run; choose another --run, or remove it\n"
    assert contents(smoke) == before


def test_another_corpus_or_checkpoint_is_refused(smoke, tmp_path):
    "The corpus changed since training, or a checkpoint of another shape: one line, and the old metrics stay."
    (tmp_path/"outputs").mkdir()
    run = tmp_path/"outputs"/"copy"
    shutil.copytree(smoke, run, ignore=shutil.ignore_patterns("wandb"))
    before = (run/"metrics.json").read_text()
    best = torch.load(run/"checkpoints"/"vae_best.pth", weights_only=True)
    torch.save(best | {"latent_dim": 12}, run/"checkpoints"/"vae_best.pth")
    done = command("arc-vae", "evaluate", "--run", "copy", cwd=tmp_path)
    assert done.returncode == 1 and re.search(r"Error: .*vae_best.pth: .*: expected float32 \([\d, ]+\), found float32 \([\d, ]+\)\n", done.stdout), done.stdout
    torch.save(best, run/"checkpoints"/"vae_best.pth")
    (run/"config.json").write_text(json.dumps(read(run/"config.json") | {"corpus_sha256": "0"*64}))
    done = command("arc-vae", "evaluate", "--run", "copy", cwd=tmp_path)
    assert done.returncode == 1 and "expected the corpus of the training, sha256 000000000000" in done.stdout and (run/"metrics.json").read_text() == before


def test_papermill_parameters_change_the_run(tmp_path):
    "papermill by hand, without the command line: -p counts, and a name that does not exist stops the notebook."
    run = lambda *p: command("papermill", ROOT/"nbs"/"02_train.ipynb", tmp_path/"out.ipynb", "--cwd", ROOT/"nbs", "-k", "python3", "--no-progress-bar", *p)
    done = run("-p", "run_dir", tmp_path/"runs"/"a", "-p", "n_corpus", 400, "-p", "epochs", 1, "-p", "seed", 7, "-p", "batch_size", 50)
    assert done.returncode == 0, done.stdout
    config = read(tmp_path/"runs"/"a"/"config.json")
    assert (config["epochs"], config["seed"], config["batch_size"], config["n_corpus"], config["preset"]) == (1, 7, 50, 400, "tiny")
    done = run("-p", "run_dir", tmp_path/"runs"/"b", "-p", "epoch", 1)
    assert done.returncode != 0 and "did you mean 'epochs'" in done.stdout and not (tmp_path/"runs"/"b").exists()


def damaged(folder):
    "name -> a corpus file that cannot be used, and what its refusal must say."
    g = np.zeros((20, 16, 16), np.uint8)
    good = dict(train=g, val=g, test=g)
    np.savez_compressed(folder/"good.npz", **good)
    raw = (folder/"good.npz").read_bytes()
    flip = bytearray(raw); flip[len(raw)//6] ^= 255

    def put(name, **arrays): np.savez(folder/f"{name}.npz", **arrays)
    put("dtype", **good | {"train": g.astype(float)}); put("shape", **good | {"val": g[:, :8]}); put("values", **good | {"test": g + 10})
    put("split", train=g, val=g); put("pickled", **good | {"train": np.array([{}]*20, dtype=object)})
    for name, data in dict(empty=b"", cut=raw[:-40], flipped=bytes(flip), text=b"train,val,test\n").items():
        (folder/f"{name}.npz").write_bytes(data)
    with zipfile.ZipFile(folder/"claims.npz", "w") as z:  # a header that claims 2^40 grids
        z.writestr("train.npy", b"\x93NUMPY\x01\x00v\x00" + repr(dict(descr="|u1", fortran_order=False, shape=(1 << 40, 16, 16))).encode().ljust(117) + b"\n")
        z.writestr("val.npy", b""); z.writestr("test.npy", b"")
    return dict(missing="no such file", empty="expected an .npz", cut="expected an .npz", flipped="damaged", text="expected an .npz", dtype="found float64", shape="found uint8 (20, 8, 16)",
                values="expected colors 0-9, found 10", split="'test' is missing", pickled="found object", claims="expected at most")


def test_bad_corpora_are_one_line_and_no_run(tmp_path):
    for name, words in damaged(tmp_path).items():
        done = command("arc-vae", "corpus", "check", f"{name}.npz", cwd=tmp_path)
        assert done.returncode == 1 and done.stdout.startswith("Error: ") and done.stdout.count("\n") == 1 and words in done.stdout and f"{name}.npz" in done.stdout, done.stdout
    done = command("arc-vae", "run", "--corpus", "cut.npz", "--run", "a", cwd=tmp_path)
    assert done.returncode == 1 and not (tmp_path/"outputs").exists()


def test_parameters_are_known_before_a_kernel_starts(tmp_path, monkeypatch):
    import click

    from arc_vae.cli import execute
    monkeypatch.setattr(papermill, "execute_notebook", lambda *a, **k: pytest.fail("a kernel was started"))
    with pytest.raises(click.ClickException, match="has no parameter epoch"):
        execute("02_train", tmp_path/"run", epoch=3)
    assert not (tmp_path/"run").exists()


def test_runs_can_start_together(tmp_path):
    "Each kernel has sockets of its own, also where two runs are started in one place at one moment."
    words = [BIN/"arc-vae", "train", "--preset", "tiny", "--set", "n_corpus=300", "--set", "epochs=1", "--run"]
    both = [subprocess.Popen([str(w) for w in (*words, name)], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for name in ("one", "two")]
    for run in both:
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0 and "Invalid Signature" not in said, said
    assert all((tmp_path/"outputs"/name/"checkpoints"/"vae_best.pth").exists() for name in ("one", "two"))

"""Two processes that train together, through the real command line, papermill, torchrun and gloo: the same training, and nothing lost when one of them is."""
import json
import os
import signal
import subprocess
import time

import psutil
import pytest
import torch
from conftest import BIN, command
from crashing import everything_opens

WORDS = ("--preset", "tiny", "--set", "n_corpus=1000", "--set", "batch_size=50", "--set", "epochs=3", "--set", "threads=1", "--set", "save_minutes=0", "--set", "wandb=offline")


def read(path): return json.loads(path.read_text())


def log(run): return [json.loads(line) for line in (run/"log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory): return tmp_path_factory.mktemp("processes")


# The reference network is smooth, so that another order of adding moves it little in 48 steps. The object code chooses shapes from a list: where two are as good, a last bit decides, and the weights part for good.
@pytest.mark.parametrize("network, near", [("reference", 1e-3), ("objects", 2e-2)])
def test_two_processes_train_the_same_model(place, network, near):
    runs = []
    for name, more in (("alone", ()), ("two", ("--processes", "2"))):
        done = command("arc-vae", "train", *WORDS, *more, "--set", f"network={network}", "--run", f"{name}-{network}", cwd=place)
        assert done.returncode == 0 and ("on cpu with 2 processes" in done.stdout) == bool(more) and done.stdout.count("\nepoch") == 3, done.stdout
        runs.append(place/"outputs"/f"{name}-{network}")
    alone, two = runs
    assert read(two/"training.json")["processes"] == torch.load(two/"checkpoints"/"last.pth", weights_only=True)["processes"] == 2 and read(alone/"training.json")["processes"] == 1
    assert read(two/"training.json")["status"] == "completed" and not list(two.rglob("*.part"))
    for a, b in zip(log(two), log(alone)):
        for key in ("train_distortion", "train_rate", "val_distortion", "val_rate", "val_pixel_accuracy"): assert a[key] == pytest.approx(b[key], rel=near), key
    if network == "reference":
        a, b = (torch.load(r/"checkpoints"/"vae_best.pth", weights_only=True)["state_dict"] for r in runs)
        assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3


def begun(place, name):
    "A training of two processes in its second epoch: the command line, and the processes by rank."
    words = [str(w) for w in (BIN/"arc-vae", "train", *WORDS, "--set", "epochs=6", "--processes", "2", "--run", name)]
    job = subprocess.Popen(words, cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    run, ranks = place/"outputs"/name, {}
    while job.poll() is None and not ((run/"log.jsonl").exists() and (run/"log.jsonl").read_text()): time.sleep(.02)
    for p in psutil.Process(job.pid).children(recursive=True):
        if "arc_vae.processes" in " ".join(p.cmdline()) and "--no-python" not in p.cmdline(): ranks[p.environ()["RANK"]] = p
    assert set(ranks) == {"0", "1"}
    return job, run, ranks


def goes_on(place, run):
    "Resumed with two processes, it trains what is left of it."
    before = len(log(run)); everything_opens(run)
    done = command("arc-vae", "train", "--resume", run.name, cwd=place)
    assert done.returncode == 0 and read(run/"training.json")["status"] == "completed" and len(log(run)) == 6 and done.stdout.count("\nepoch") == 6 - before, done.stdout


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_lost_process_ends_the_job_and_it_goes_on(place, rank):
    job, run, ranks = begun(place, f"lost{rank}")
    ranks[rank].kill()
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 1 and said.count("Traceback") == 0 and "process" in said.splitlines()[-2], said
    assert psutil.wait_procs(ranks.values(), timeout=20)[1] == [], "none goes on alone"
    assert read(run/"training.json")["status"] == "interrupted"
    goes_on(place, run)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_signal_reaches_all_processes(place, name):
    job, run, ranks = begun(place, f"signal{name}")
    os.kill(job.pid, getattr(signal, name))
    said, _ = job.communicate(timeout=120)
    assert job.returncode == (143 if name == "SIGTERM" else -9), said
    assert psutil.wait_procs(ranks.values(), timeout=30)[1] == []
    if name == "SIGTERM": assert "the state is saved, --resume goes on from here" in said
    goes_on(place, run)


def test_what_goes_wrong_inside_is_said_outside(tmp_path):
    done = command("arc-vae", "train", *WORDS, "--processes", "2", "--set", "lr=1e30", "--set", "grad_clip=1e30", "--run", "a", cwd=tmp_path)
    assert done.returncode == 1 and "the last good checkpoint is kept" in done.stdout and "Traceback" not in done.stdout, done.stdout
    assert read(tmp_path/"outputs"/"a"/"training.json")["status"] == "diverged"

"""Two processes that train together, under the real torchrun and gloo.

It is the same training, and nothing is lost when one of them is. Once through the command line and papermill, else
straight from Python.
"""
import json
import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from conftest import ROOT
from crashing import everything_opens

SETTINGS = dict(n_corpus=1000, batch_size=50, epochs=3, threads=1, save_minutes=0, wandb="disabled")
CODE = """
import json, sys
from pathlib import Path
from arc_vae.training.settings import make_config, resumed_config
from arc_vae.train import train

run, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
resume = (run/"config.json").exists()
def say(line): print(line, flush=True)

try:
    config = resumed_config(run) if resume else make_config("tiny", **settings)
    train(config, run, resume=resume, say=say)
except Exception as e: raise SystemExit(f"{type(e).__name__}: {e}")
"""


def read(path):
    return json.loads(path.read_text())


def log(run):
    return [json.loads(line) for line in (run/"log.jsonl").read_text().splitlines()]


def status(run):
    return read(run/"training.json")["status"]


def load(run, name):
    return torch.load(run/"checkpoints"/name, weights_only=True)


def started(words, **more):
    "A program under way, output and errors together."
    words = [str(word) for word in words]
    return subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def job(run, **settings):
    "A training under way, or one that goes on."
    words = [sys.executable, "-W", "ignore", "-c", CODE, run, json.dumps(SETTINGS | settings)]
    return started(words, env=os.environ | dict(PYTHONPATH=str(ROOT)))


def ended(process, code=0):
    "What a program printed, once it has ended as expected."
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == code, printed
    assert "Traceback" not in printed, printed
    return printed


# The reference network is smooth, so that another order of adding moves it little in 48 steps. The object code chooses
# shapes from a list: where two are as good, a last bit decides, and the weights part for good.
@pytest.mark.parametrize("network, near", [("reference", 1e-3), ("objects_small", 2e-2)])
def test_two_processes_train_the_same_model(tmp_path, network, near):
    alone, two = tmp_path/"alone", tmp_path/"two"
    for processes, run in ((1, alone), (2, two)):
        printed = ended(job(run, processes=processes, network=network))
        assert ("on cpu with 2 processes" in printed) == (processes == 2)
        assert read(run/"training.json")["processes"] == processes
        assert load(run, "last.pth")["processes"] == processes

    assert status(two) == "completed"
    assert not list(two.rglob("*.part"))
    assert len(log(two)) == len(log(alone)) == 3
    for found, expected in zip(log(two), log(alone)):
        for key in ("train_distortion", "train_rate", "val_distortion", "val_rate", "val_pixel_accuracy"):
            assert found[key] == pytest.approx(expected[key], rel=near), key

    if network == "reference":
        found, expected = load(two, "vae_best.pth")["state_dict"], load(alone, "vae_best.pth")["state_dict"]
        assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-3


def has_an_epoch(run):
    "Whether a training has written the first line of its log."
    path = run/"log.jsonl"
    return path.exists() and path.read_text() != ""


def is_worker(process):
    "Whether a process trains, and is not the torchrun that started it."
    words = process.cmdline()
    return "arc_vae.infra.distributed" in " ".join(words) and "--no-python" not in words


def in_its_second_epoch(process, run):
    "Wait for it; the processes by rank."
    while process.poll() is None and not has_an_epoch(run): time.sleep(.02)
    children = psutil.Process(process.pid).children(recursive=True)
    ranks = {child.environ()["RANK"]: child for child in children if is_worker(child)}
    assert set(ranks) == {"0", "1"}
    return ranks


def still_alive(processes, seconds):
    "Those of some processes that have not ended within a time."
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive


def goes_on(run, epochs, resume):
    "What was interrupted trains the epochs that are left."
    assert status(run) == "interrupted"
    before = len(log(run))
    everything_opens(run)
    printed = resume()
    assert status(run) == "completed", printed
    assert len(log(run)) == epochs, printed
    assert printed.count("\nepoch") == epochs - before, printed


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_lost_process_ends_the_job_and_it_goes_on(tmp_path, rank):
    run = tmp_path/"run"
    process = job(run, processes=2, epochs=8)
    ranks = in_its_second_epoch(process, run)
    ranks[rank].kill()
    last_line = ended(process, 1).splitlines()[-1]
    assert last_line.startswith("JobError: another process of this training is gone")
    assert still_alive(ranks.values(), 30) == [], "none goes on alone"
    goes_on(run, 8, lambda: ended(job(run)))


def test_no_process_outlives_its_starter(tmp_path):
    run = tmp_path/"run"
    process = job(run, processes=2, epochs=8)
    ranks = in_its_second_epoch(process, run)
    process.kill()
    process.wait()
    assert still_alive(ranks.values(), 60) == []
    goes_on(run, 8, lambda: ended(job(run)))


def test_what_goes_wrong_inside_is_said_outside(tmp_path):
    run = tmp_path/"run"
    printed = ended(job(run, processes=2, lr=1e30, grad_clip=1e30), 1)
    assert "the last good checkpoint is kept" in printed.splitlines()[-1]
    assert status(run) == "diverged"

"""Runs that are killed, asked to stop or explode, through the real command line: nothing is lost, and going on gives the weights of a run that was left alone."""
import json
import os
import signal
import subprocess
import time

import psutil
import pytest
import torch
from conftest import BIN, command

WORDS = ("--preset", "tiny", "--set", "n_corpus=2000", "--set", "epochs=4", "--set", "save_minutes=0")


def state(run):
    return torch.load(run/"checkpoints"/"last.pth", weights_only=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    "outputs/alone of a run that nothing happened to."
    place = tmp_path_factory.mktemp("crash")
    done = command("arc-vae", "train", *WORDS, "--run", "alone", cwd=place)
    assert done.returncode == 0, done.stdout
    return place/"outputs"/"alone"


def started(place, name):
    "A run under way, in its second epoch, and its kernels."
    run = subprocess.Popen([str(w) for w in (BIN/"arc-vae", "train", *WORDS, "--run", name)], cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log = place/"outputs"/name/"log.jsonl"
    while run.poll() is None and not (log.exists() and log.read_text()): time.sleep(.02)
    return run, psutil.Process(run.pid).children()


def goes_on_to_the_same(alone, name):
    "Resume a run and compare every weight and every number of Adam."
    place, run = alone.parents[1], alone.parent/name
    done = command("arc-vae", "train", "--resume", name, cwd=place)
    assert done.returncode == 0 and "goes on" in done.stdout, done.stdout
    ours, theirs = state(alone), state(run)
    assert all(torch.equal(v, theirs["state_dict"][k]) for k, v in ours["state_dict"].items())
    assert all(torch.equal(v, theirs["optimizer"]["state"][i][k]) for i, numbers in ours["optimizer"]["state"].items() for k, v in numbers.items())
    assert len((run/"log.jsonl").read_text().splitlines()) == 4 and not list(run.rglob("*.part"))
    assert json.loads((run/"training.json").read_text())["status"] == "completed"
    verified = command("arc-vae", "verify", "--run", name, cwd=place)
    assert verified.returncode == 0 and verified.stdout.count("whole") == 5, verified.stdout


def test_a_killed_run_goes_on(alone):
    run, kernels = started(alone.parents[1], "killed")
    for process in (run, *kernels): os.kill(process.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    psutil.wait_procs(kernels, timeout=10)
    done = command("arc-vae", "train", "--resume", "killed", "--set", "latent_dim=8", cwd=alone.parents[1])
    assert done.returncode == 1 and "resume: latent_dim: the run has 10, found 8" in done.stdout
    goes_on_to_the_same(alone, "killed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(alone, number):
    run, kernels = started(alone.parents[1], number.name)
    run.send_signal(number)
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + number and "the state is saved" in said, said
    gone, still = psutil.wait_procs(kernels, timeout=10)
    assert not still, "no kernel is left behind"
    assert json.loads((alone.parent/number.name/"training.json").read_text())["status"] == "interrupted"
    assert state(alone.parent/number.name)["step"] > 0, "saved in the middle of an epoch"
    goes_on_to_the_same(alone, number.name)


def test_numbers_that_explode(alone):
    done = command("arc-vae", "train", *WORDS, "--run", "exploded", "--set", "lr=1e30", "--set", "grad_clip=1e30", cwd=alone.parents[1])
    run = alone.parent/"exploded"
    assert done.returncode == 1 and "epoch 1, step" in done.stdout and "gradient norm" in done.stdout, done.stdout
    assert json.loads((run/"training.json").read_text())["status"] == "diverged" and not (run/"checkpoints"/"vae_best.pth").exists()
    assert all(v.isfinite().all() for v in state(run)["state_dict"].values()), "what was kept is good"

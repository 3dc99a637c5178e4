"""Runs that are killed, asked to stop or explode, through the real command line.

Nothing is lost but the epoch under way, and going on gives the weights of a run that was left alone.
"""
import json
import os
import signal
import subprocess
import time

import psutil
import pytest
import torch
from conftest import BIN, ROOT, command
from crashing import same, whole

WORDS = ("--preset", "tiny", "--set", "n_corpus=1000", "--set", "epochs=4")


def source_tree():
    "Every file of the source tree with the time of its last change."
    paths = [*(ROOT/"nbs").rglob("*"), *(ROOT/"arc_vae").rglob("*")]
    return {path: path.stat().st_mtime_ns for path in paths if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    "outputs/alone of a run that nothing happened to."
    place = tmp_path_factory.mktemp("crash")
    before = source_tree()
    done = command("arc-vae", "train", *WORDS, "--run", "alone", cwd=place)
    assert done.returncode == 0, done.stdout
    assert source_tree() == before, "the source tree may be read-only"
    return place/"outputs"/"alone"


def begin(place, *words, **more):
    "A command under way."
    command_line = [str(word) for word in (BIN/"arc-vae", "train", *words)]
    return subprocess.Popen(
        command_line, cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def started(place, name):
    "A run under way, in its second epoch, and its kernels."
    run = begin(place, *WORDS, "--run", name)
    log = place/"outputs"/name/"log.jsonl"
    while run.poll() is None and not (log.exists() and log.read_text()): time.sleep(.02)
    return run, psutil.Process(run.pid).children()


def goes_on_to_the_same(alone, name):
    "Resume a run and compare it with the one that was left alone; every file is whole."
    done = command("arc-vae", "train", "--resume", name, cwd=alone.parents[1])
    assert done.returncode == 0, done.stdout
    run = alone.parent/name
    assert same(alone, run) and whole(run, within=run)
    assert len((run/"log.jsonl").read_text().splitlines()) == 4
    assert status(run) == "completed"


def status(run): return json.loads((run/"training.json").read_text())["status"]


@pytest.mark.parametrize("killed", ["all", "command_line"])
def test_a_killed_run_goes_on(alone, killed):
    "kill -9; the command line takes its kernel along, the weights come out bit for bit the same."
    run, kernels = started(alone.parents[1], killed)
    if killed == "all":
        for kernel in kernels: os.kill(kernel.pid, signal.SIGKILL)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    gone, still = psutil.wait_procs(kernels, timeout=10)
    assert not still, "no kernel is left behind"
    goes_on_to_the_same(alone, killed)


def test_one_process_a_run(alone):
    run, (kernel,) = started(alone.parents[1], "shared")
    kernel.suspend()  # so that it is not done before the other one has begun
    done = command("arc-vae", "train", "--resume", "shared", cwd=alone.parents[1])
    kernel.resume()
    assert done.returncode == 1, done.stdout
    assert "Error: outputs/shared: another process is executing 02_train" in done.stdout, done.stdout
    run.communicate(timeout=300)
    assert run.returncode == 0
    assert same(alone, alone.parent/"shared")


MOMENTS = dict(  # name -> whether it has come, given the process and the folder of its run
    at_once=lambda run, folder: True,
    as_a_kernel_starts=lambda run, folder: psutil.Process(run.pid).children(),
    as_it_begins=lambda run, folder: (folder/"config.json").exists())


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_before_anything_happened(alone, moment):
    run = begin(alone.parents[1], *WORDS, "--run", moment)
    time.sleep(.2)
    while run.poll() is None and not MOMENTS[moment](run, alone.parent/moment): time.sleep(.01)
    run.send_signal(signal.SIGTERM)
    printed, _ = run.communicate(timeout=30)
    assert run.returncode in (128 + signal.SIGTERM, -signal.SIGTERM), printed
    assert "Traceback" not in printed, printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_and_the_run_goes_on(alone, number):
    run, kernels = started(alone.parents[1], number.name)
    run.send_signal(number)
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + number, printed
    assert f"{number.name} in epoch 2, step" in printed, printed
    assert "--resume goes on from epoch 2" in printed, printed
    assert "KeyboardInterrupt" not in printed, printed
    gone, still = psutil.wait_procs(kernels, timeout=10)
    assert not still, "no kernel is left behind"
    assert status(alone.parent/number.name) == "interrupted"
    goes_on_to_the_same(alone, number.name)


def test_numbers_that_explode(alone):
    words = (*WORDS, "--set", "lr=1e30", "--set", "grad_clip=1e30")
    done = command("arc-vae", "train", *words, "--run", "exploded", cwd=alone.parents[1])
    run = alone.parent/"exploded"
    assert done.returncode == 1, done.stdout
    assert "epoch 1, step" in done.stdout, done.stdout
    assert "gradient norm" in done.stdout, done.stdout
    assert status(run) == "diverged"
    assert not (run/"checkpoints"/"vae_best.pth").exists()
    start = torch.load(run/"checkpoints"/"start.pth", weights_only=True)
    for weights in start["state_dict"].values(): assert weights.isfinite().all(), "what was kept is good"

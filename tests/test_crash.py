"""Runs that are killed, asked to stop or explode, through the real command line: nothing is lost, and going on gives the weights of a run that was left alone.

    ARC_VAE_KILLS=50 python -m pytest tests/test_crash.py -k loop -s     as many kills as one likes
"""
import json
import os
import random
import resource
import signal
import subprocess
import time

import psutil
import pytest
import torch
from conftest import BIN, ROOT, command
from crashing import everything_opens, same, whole

from arc_vae.checkpoint import verify

WORDS = ("--preset", "tiny", "--set", "n_corpus=1000", "--set", "epochs=4", "--set", "save_minutes=0")


def state(run):
    return torch.load(run/"checkpoints"/"last.pth", weights_only=True)


def source_tree():
    "Every file of the source tree with the time of its last change."
    return {p: p.stat().st_mtime_ns for folder in ("nbs", "arc_vae") for p in (ROOT/folder).rglob("*") if "__pycache__" not in p.parts}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    "outputs/alone of a run that nothing happened to."
    place, before, start = tmp_path_factory.mktemp("crash"), source_tree(), time.monotonic()
    done = command("arc-vae", "train", *WORDS, "--run", "alone", cwd=place)
    assert done.returncode == 0, done.stdout
    (place/"seconds").write_text(str(time.monotonic() - start))
    assert source_tree() == before, "the source tree may be read-only"
    return place/"outputs"/"alone"


def begin(place, *words, **more):
    "A command under way."
    return subprocess.Popen([str(w) for w in (BIN/"arc-vae", "train", *words)], cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def started(place, name):
    "A run under way, in its second epoch, and its kernels."
    run = begin(place, *WORDS, "--run", name)
    log = place/"outputs"/name/"log.jsonl"
    while run.poll() is None and not (log.exists() and log.read_text()): time.sleep(.02)
    return run, psutil.Process(run.pid).children()


def goes_on_to_the_same(alone, name):
    "Resume a run and compare what comes of it."
    done = command("arc-vae", "train", "--resume", name, cwd=alone.parents[1])
    assert done.returncode == 0, done.stdout
    the_same(alone, alone.parent/name)


def the_same(alone, run):
    "Compare what two runs came to; every file is whole."
    assert same(alone, run) and whole(run, within=run) and len(verify(run)) == 7
    assert len((run/"log.jsonl").read_text().splitlines()) == 4
    assert json.loads((run/"training.json").read_text())["status"] == "completed"


def test_a_killed_run_goes_on(alone):
    run, kernels = started(alone.parents[1], "killed")
    for process in (run, *kernels): os.kill(process.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    psutil.wait_procs(kernels, timeout=10)
    done = command("arc-vae", "train", "--resume", "killed", "--set", "latent_dim=8", cwd=alone.parents[1])
    assert done.returncode == 1 and "resume: latent_dim: the run has 10, found 8" in done.stdout
    goes_on_to_the_same(alone, "killed")


def test_a_killed_command_line_takes_its_kernel_along(alone):
    run, kernels = started(alone.parents[1], "orphan")
    run.kill(); run.wait()
    gone, still = psutil.wait_procs(kernels, timeout=10)
    assert not still, "no kernel is left behind"
    goes_on_to_the_same(alone, "orphan")


def test_one_process_a_run(alone):
    run, (kernel,) = started(alone.parents[1], "shared")
    kernel.suspend()  # so that it is not done before the other one has begun
    done = command("arc-vae", "train", "--resume", "shared", cwd=alone.parents[1])
    kernel.resume()
    assert done.returncode == 1 and "Error: outputs/shared: another process is executing 02_train" in done.stdout, done.stdout
    run.communicate(timeout=300)
    assert run.returncode == 0
    the_same(alone, alone.parent/"shared")
    verified = command("arc-vae", "verify", "--run", "shared", cwd=alone.parents[1])
    assert verified.returncode == 0 and verified.stdout.count("whole") == 7, verified.stdout


MOMENTS = dict(at_once=lambda run, folder: True, as_a_kernel_starts=lambda run, folder: psutil.Process(run.pid).children(), as_it_begins=lambda run, folder: (folder/"config.json").exists())


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_before_anything_happened(alone, moment):
    run = begin(alone.parents[1], *WORDS, "--run", moment)
    time.sleep(.2)
    while run.poll() is None and not MOMENTS[moment](run, alone.parent/moment): time.sleep(.01)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=30)
    assert run.returncode in (128 + signal.SIGTERM, -signal.SIGTERM) and "Traceback" not in said, said


def test_a_full_disk_is_one_line(alone):
    run = begin(alone.parents[1], *WORDS, "--run", "full", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY)))
    said, _ = run.communicate(timeout=120)
    assert run.returncode == 1 and "Error: [Errno 27] File too large:" in said and "last.pth" in said and "Traceback" not in said, said


def test_kill_loop(alone):
    "SIGKILL to all processes of a run at random times; whenever a run gets through, it is compared with the one that was left alone, and the next one begins."
    place, rng, kills, runs, steps = alone.parents[1], random.Random(0), 0, 0, []
    whole = float((place/"seconds").read_text())
    while kills < int(os.environ.get("ARC_VAE_KILLS", 2)):
        name = f"loop{runs}"
        going = (alone.parent/name/"config.json").exists()
        run = begin(place, *("--resume", name) if going else (*WORDS, "--run", name), start_new_session=True)
        try: run.communicate(timeout=rng.uniform(.1, .9)*whole)
        except subprocess.TimeoutExpired:
            kernels = psutil.Process(run.pid).children()
            os.killpg(run.pid, signal.SIGKILL)
            for kernel in kernels: kernel.kill()
            run.communicate(); psutil.wait_procs(kernels, timeout=10)
            kills += 1
            everything_opens(alone.parent/name)
            if (alone.parent/name/"checkpoints"/"last.pth").exists(): steps.append((lambda s: (s["epoch"], s["step"]))(state(alone.parent/name)))
        else:
            assert run.returncode == 0
            the_same(alone, alone.parent/name); runs += 1
    if (alone.parent/f"loop{runs}"/"config.json").exists(): goes_on_to_the_same(alone, f"loop{runs}"); runs += 1
    print(f"{kills} kills, {len(steps)} of them after the first checkpoint, at (epoch, step) {steps}; {runs} runs ended with the same weights")


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

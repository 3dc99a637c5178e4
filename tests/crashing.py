"""Trainings in processes of their own that can die, or be hurt, at a chosen moment.

The processes are forked from one that has imported everything, so each costs a second or less.
"""
import contextlib
import io
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import nbformat
import torch
from conftest import contents

from arc_vae.infra.checkpoint import EXPORTED, PHASES, START, read_checkpoint
from arc_vae.code.pretrained import verify

SMALL = dict(n_corpus=200, batch_size=32,  # five steps an epoch
             epochs=2, beta_mid_epoch=1, beta_final_epoch=1, patience=3, threads=1)

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["arc_vae.train", "nbformat", "torch._dynamo"])  # the last one for the first optimizer

VALIDATED = ("distortion", "rate", "elbo", "objective", "pixel_accuracy", "all_background_accuracy", "skill",
             "foreground_accuracy", "exact_match")


def die(): os.kill(os.getpid(), signal.SIGKILL)


def at_call(module, name, number, act, after=False):
    "Do something before, or after, the n-th call of a function, counted from 0."
    real = getattr(module, name)
    calls = itertools.count()

    def counted(*args, **kw):
        is_the_one = next(calls) == number
        if is_the_one and not after: act()
        result = real(*args, **kw)
        if is_the_one and after: act()
        return result

    setattr(module, name, counted)


def fill_disk():
    "From now on no file of this process can grow beyond 1000 bytes."
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))


def no_validation(vae, grids, cfg):
    "What validate returns, without a look at the model."
    return dict.fromkeys(VALIDATED, 0.) | dict(kl_per_dim=[0.]*10)


def hurt(train, run_dir, how, number):
    "Arrange what is to happen to this process."
    acts_at_step = {"step": die, "wait": lambda: time.sleep(60), "disk full": fill_disk,
                    "folder gone": lambda: shutil.rmtree(run_dir)}
    if how in acts_at_step: at_call(train, "train_step", number, acts_at_step[how])
    elif how in ("before", "after"): at_call(os, "replace", number, die, after=how == "after")
    elif how == "clock": time.time = itertools.count(1e9, -3600).__next__
    elif how == "no validation": train.validate = no_validation
    elif how: globals()[f"wandb_{how}"]()


def wandb_absent():
    sys.modules["wandb"] = None
    from arc_vae.infra import tracking as track
    track.find_spec = lambda name: None


def wandb_without_key(): pass


def wandb_black_hole():
    "A server that accepts connections and never answers."
    global server  # for as long as the process lives
    server = socket.create_server(("127.0.0.1", 0), backlog=100)
    port = server.getsockname()[1]
    os.environ.update(WANDB_BASE_URL=f"http://127.0.0.1:{port}", WANDB_API_KEY="0"*40)


def wandb_raises():
    import wandb

    def fail(*args, **kw): raise RuntimeError("unwell")
    wandb.Run.log = fail


def wandb_never_finishes(): wandb_finish_hangs(0)


def wandb_and_a_signal():
    "SIGTERM in the middle of training, and a W&B that would take its time to finish."
    from arc_vae import train
    wandb_finish_hangs(30)
    at_call(train, "train_step", 7, lambda: os.kill(os.getpid(), signal.SIGTERM))


def wandb_finish_hangs(seconds):
    import wandb

    from arc_vae.infra import tracking as track
    track.FINISH_SECONDS = seconds
    wandb.Run.finish = lambda *args, **kw: time.sleep(60)


def _train(run_dir, how, number, changes, answer):
    "What the process does. Its answer is JSON: what training.json holds, or the error; what was said; times."
    run_dir = Path(run_dir)
    for name in list(os.environ):
        if name.startswith("WANDB_"): del os.environ[name]
    os.environ["HOME"] = str(run_dir.parent)
    from arc_vae import train
    from arc_vae.infra import runs
    from arc_vae.training.settings import resumed_config
    runs.LOCK_SECONDS = .2
    hurt(train, run_dir, how, number)
    resume = (run_dir/"config.json").exists()
    said, first_step = [], []
    start = time.monotonic()
    at_call(train, "train_step", 0, lambda: first_step.append(time.monotonic() - start))
    try:
        if resume: cfg = resumed_config(run_dir, **changes)
        else: cfg = train.make_config("tiny", **SMALL | changes)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            result = train.train(cfg, run_dir, say=said.append, resume=resume)
        result["printed"] = printed.getvalue()
    except Exception as e: result = dict(error=f"{type(e).__name__}: {e}")
    started = first_step[0] if first_step else None
    answer.put(json.dumps(result | dict(said=said, seconds=time.monotonic() - start, started=started)))


def begin(run_dir, how="", number=0, **changes):
    "Start a training, or go on with one where there is one; the process and the queue for its answer."
    answer = PROCESSES.Queue()
    process = PROCESSES.Process(target=_train, args=(str(run_dir), how, number, changes, answer))
    process.start()
    return process, answer


def trained(run_dir, how="", number=0, **changes):
    "Train, or go on; what came of it, or None where the process was killed."
    process, answer = begin(run_dir, how, number, **changes)
    process.join(120)
    if process.exitcode == -signal.SIGKILL: return None
    assert process.exitcode == 0, process.exitcode
    return json.loads(answer.get(timeout=10))


def judged(state):
    "What was decided by in each epoch."
    return [(record["best"], record["val_objective"], record["train_objective"]) for record in state["log"]]


def same(a, b):
    "The exported files of two runs byte for byte, and every number from which training would go on."
    files, other_files = (contents(run/"checkpoints") for run in (a, b))
    for name in (*EXPORTED, START, *PHASES, "manifest.json"): assert files[name] == other_files[name], name
    state, other = (read_checkpoint(run/"checkpoints"/"last.pth", "training") for run in (a, b))
    for name, weights in state["state_dict"].items(): assert torch.equal(weights, other["state_dict"][name])
    for i, moments in state["optimizer"]["state"].items():
        for name, values in moments.items(): assert torch.equal(values, other["optimizer"]["state"][i][name])
    assert judged(state) == judged(other)
    return True


def whole(run, within=None):
    "Every checkpoint opens and fits its hash, and no half-written file is left in all of the run's place."
    return all(said == "whole" for _, said in verify(run)) and not list((within or run.parent).rglob("*.part"))


def everything_opens(run):
    "Every file of a run that was killed is whole, or not there yet."
    kinds = EXPORTED | dict.fromkeys((START, *PHASES), "vae")
    for path in run.glob("checkpoints/*.pth"): read_checkpoint(path, kinds.get(path.name, "training"))
    for path in (*run.glob("*.json"), *run.glob("checkpoints/*.json")): json.loads(path.read_text())
    for path in run.glob("*.ipynb"): nbformat.read(path, as_version=4)
    for path in run.glob("log.jsonl"):
        for line in path.read_text().splitlines(): json.loads(line)

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

from arc_vae.infra.checkpoint import read_checkpoint

SMALL = dict(latent_dim=3, n_corpus=200, batch_size=32,  # one table of entries to arrange, five steps an epoch
             epochs=2, beta_mid_epoch=1, beta_final_epoch=1, patience=3, threads=1)
MODELS = dict.fromkeys(("vae_best.pth", "start.pth", "beta_mid.pth", "beta_final.pth"), "vae")
KINDS = MODELS | {"encoder.pth": "encoder", "decoder.pth": "decoder", "last.pth": "training"}

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["arc_vae.train", "nbformat", "torch._dynamo"])  # the last one for the first optimizer


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


def hurt(train, run_dir, how, number):
    "Arrange what is to happen to this process."
    acts_at_step = {"step": die, "wait": lambda: time.sleep(60), "disk full": fill_disk,
                    "folder gone": lambda: shutil.rmtree(run_dir)}
    if how in acts_at_step: at_call(train, "train_step", number, acts_at_step[how])
    elif how in ("before", "after"): at_call(os, "replace", number, die, after=how == "after")
    elif how: globals()[f"wandb_{how}"]()


def wandb_absent():
    sys.modules["wandb"] = None
    from arc_vae.infra import tracking as track
    track.find_spec = lambda name: None


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
    "Train in this process. The answer is JSON: what training.json holds or the error, what was printed, and times."
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
    first_step = []
    start = time.monotonic()
    at_call(train, "train_step", 0, lambda: first_step.append(time.monotonic() - start))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            cfg = resumed_config(run_dir, **changes) if resume else train.make_config("tiny", **SMALL | changes)
            result = train.train(cfg, run_dir, resume=resume)
        except Exception as e: result = dict(error=f"{type(e).__name__}: {e}")
    result |= dict(printed=printed.getvalue(), seconds=time.monotonic() - start, started=(first_step or [None])[0])
    answer.put(json.dumps(result))


def begin(run_dir, how="", number=0, **changes):
    "Start a training, or go on with one where there is one; the process and the queue for its answer."
    answer = PROCESSES.Queue()
    process = PROCESSES.Process(target=_train, args=(str(run_dir), how, number, changes, answer))
    process.start()
    return process, answer


def trained(run_dir, how="", number=0, **changes):
    "Train, or go on; the answer, or None where the process was killed."
    process, answer = begin(run_dir, how, number, **changes)
    process.join(120)
    if process.exitcode == -signal.SIGKILL: return None
    assert process.exitcode == 0, process.exitcode
    return json.loads(answer.get(timeout=10))


def objectives(state):
    "The numbers that decided which epoch was the best."
    return [(record["best"], record["val_objective"], record["train_objective"]) for record in state["log"]]


def same(a, b):
    "Compare the models of two runs byte for byte, and every number from which training would go on."
    files, other_files = (contents(run/"checkpoints") for run in (a, b))
    for name in KINDS.keys() - {"last.pth"}: assert files[name] == other_files[name], name
    state, other = (read_checkpoint(run/"checkpoints"/"last.pth", "training") for run in (a, b))
    for name, weights in state["state_dict"].items(): assert torch.equal(weights, other["state_dict"][name])
    for i, moments in state["optimizer"]["state"].items():
        for name, values in moments.items(): assert torch.equal(values, other["optimizer"]["state"][i][name])
    assert objectives(state) == objectives(other)
    return True


def everything_opens(run):
    "Check that every file of a run that was killed is whole, or not there yet."
    for path in run.glob("checkpoints/*.pth"): read_checkpoint(path, KINDS[path.name])
    for path in run.glob("*.json"): json.loads(path.read_text())
    for path in run.glob("*.ipynb"): nbformat.read(path, as_version=4)
    for path in run.glob("log.jsonl"):
        for line in path.read_text().splitlines(): json.loads(line)


def whole(run, within=None):
    "Whether every checkpoint is there and opens, and no half-written file is left in all of the run's place."
    everything_opens(run)
    written = {path.name for path in run.glob("checkpoints/*.pth")}
    return written == set(KINDS) and not list((within or run.parent).rglob("*.part"))

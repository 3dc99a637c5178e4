"""What the benchmarks share: a model in training, timed rounds, and processes that are measured in turns."""
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import torch

from arc_vae.code.network import make_vae
from arc_vae.infra.files import as_json, subprocess_env
from arc_vae.infra.settings import maybe_compile, pick_device
from arc_vae.model import VAE
from arc_vae.train import loss_terms, make_update, train_epoch
from arc_vae.training.settings import TrainConfig
from arc_vae.training.state import make_optimizer


@contextmanager
def using_threads(n):
    "Set torch's threads for a while; 0 leaves them as they are."
    before = torch.get_num_threads()
    if n: torch.set_num_threads(n)
    try: yield torch.get_num_threads()
    finally: torch.set_num_threads(before)


def wait_for(device):
    "Return when the device has finished its work."
    if device == "cuda": torch.cuda.synchronize()
    if device == "mps": torch.mps.synchronize()


@dataclass
class Subject:
    "A model in training and the grids it is trained on."
    cfg: TrainConfig
    vae: VAE
    opt: torch.optim.Optimizer
    update: object
    grids: torch.Tensor
    epoch: int = 0  # each round has its own order, augmentation and noise


def prepare(cfg, grids):
    "A model before its first step, with its optimizer."
    vae = make_vae(cfg.network, cfg.latent_dim, cfg.seed).to(pick_device(cfg.device))
    grids = torch.as_tensor(grids).to(vae.device)
    vae.fit(grids, say=lambda line: None)  # an unfitted codebook makes other work
    opt = make_optimizer(vae, cfg)
    update = make_update(vae, opt, cfg.grad_clip, maybe_compile(loss_terms, cfg.compile))
    return Subject(cfg, vae, opt, update, grids)


def mark_time(device):
    "The time now; on CUDA an event, for the GPU runs behind Python."
    if device == "mps": wait_for(device)
    if device != "cuda": return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def seconds_between(first, second, device):
    "Seconds from one mark to the next; CUDA's events count milliseconds."
    return first.elapsed_time(second)/1e3 if device == "cuda" else second - first


def train_round(subject, steps):
    "Train some steps, each on a whole batch; returns grids, seconds of the round, and seconds of each step."
    device = subject.vae.device.type
    n = steps*subject.cfg.batch_size
    grids = subject.grids[torch.arange(n, device=subject.grids.device)%len(subject.grids)]
    wait_for(device)
    marks = [mark_time(device)]
    start = time.perf_counter()
    train_epoch(subject.vae, subject.opt, grids, subject.epoch, subject.cfg,
                subject.update, lambda done: marks.append(mark_time(device)))
    wait_for(device)
    seconds = time.perf_counter() - start
    subject.epoch += 1
    return dict(grids=n, seconds=seconds, steps=[seconds_between(*pair, device) for pair in zip(marks, marks[1:])])


def serve(tasks):
    "Answer each task's name on stdin with a line of JSON on stdout; what is printed meanwhile goes to stderr."
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(as_json(tasks[line.strip()]()), file=answers, flush=True)


class Worker:
    "A process that answers as `serve` does and ends with the block; None in its environment removes a variable."
    def __init__(self, name, command, environment=None):
        self.name = name
        wanted = subprocess_env(KINETO_LOG_LEVEL="99") | (environment or {})
        wanted = {variable: value for variable, value in wanted.items() if value is not None}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
                                        start_new_session=True, env=wanted)

    def ask(self, task):
        "What the task returned; RuntimeError where the process ended instead."
        with suppress(BrokenPipeError):  # it has ended, and readline finds nothing
            print(task, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if answer: return json.loads(answer)
        raise RuntimeError(f"{self.name}: its process ended with exit code {self.process.wait()}")

    def __enter__(self): return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError): pipe.close()


def grids_per_second(done):
    "Speed of a round."
    return done["grids"]/done["seconds"]


def alternate(workers, rounds, say=print):
    "Warm all workers up, then measure them in turns: answers to `warm`, and for each worker its answers to `round`."
    warm = []
    for worker in workers:
        warm.append(worker.ask("warm"))
        say(f"{worker.name}: ready")
    results = [[] for _ in workers]
    for r in range(rounds):
        order = range(len(workers))
        for i in (reversed(order) if r%2 else order):
            results[i].append(workers[i].ask("round"))
        speeds = [f"{worker.name} {grids_per_second(answers[-1]['train']):,.0f}"
                  for worker, answers in zip(workers, results)]
        say(f"round {r + 1} of {rounds}: {', '.join(speeds)} grids/s")
    return warm, results


def paired_ratio(first, second):
    "How many times as fast the first is: median and 10th and 90th percentile of each round's ratio."
    low, middle, high = np.percentile(np.divide(first, second), (10, 50, 90))
    return dict(median=float(middle), p10=float(low), p90=float(high))

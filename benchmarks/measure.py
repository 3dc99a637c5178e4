"""What the benchmarks share: a model that is trained step by step, and tasks that are timed in turns."""
import os
import sys
import time
from contextlib import contextmanager

import torch

from arc_vae.apps.run import KERNEL_ENVIRONMENT
from arc_vae.code.network import make_vae
from arc_vae.infra.logging import quiet
from arc_vae.infra.runs import pick_device
from arc_vae.train import make_update, train_steps
from arc_vae.training.state import make_optimizer


def use_kernel_environment():
    "Start the script anew with the variables that `arc-vae` gives its kernel: malloc and OpenMP read them only once."
    wanted = KERNEL_ENVIRONMENT | dict(TQDM_DISABLE="1")  # and no progress bar of pythae's
    if wanted.keys() - os.environ.keys(): os.execve(sys.executable, [sys.executable, *sys.argv], wanted | os.environ)


@contextmanager
def using_threads(n):
    "Set torch's threads for a while."
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try: yield
    finally: torch.set_num_threads(before)


def wait_for(device):
    "Return when the device has finished its work."
    if torch.device(device).type == "cuda": torch.cuda.synchronize()


def prepare(cfg, grids, epochs=100_000, graph=True):
    "A fitted model, and a generator that takes one training step each time it is asked; graph=False: no CUDA graphs."
    vae = make_vae(cfg.network, cfg.latent_dim, cfg.seed).to(pick_device(cfg.device))
    grids = torch.as_tensor(grids).to(vae.device)
    with quiet(): vae.fit(grids)
    opt = make_optimizer(vae, cfg.lr)
    update = make_update(vae, opt, cfg.grad_clip, cfg.compile)
    if not graph: update = update.function
    return vae, (step for epoch in range(epochs) for step in train_steps(vae, opt, grids, epoch, cfg, update=update))


def time_in_turns(tasks, rounds, device="cpu"):
    "Seconds of each task, {name: function}, in each round; a first round warms up, and the order alternates."
    seconds = {name: [] for name in tasks}
    for r in range(rounds + 1):
        for name in list(tasks)[::-1 if r%2 else 1]:
            start = time.perf_counter()
            tasks[name]()
            wait_for(device)
            if r: seconds[name].append(time.perf_counter() - start)
        print(f"round {r} of {rounds}", file=sys.stderr, flush=True)
    return seconds

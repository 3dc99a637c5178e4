"""What a GPU makes of the default network: a step as it is, as one graph, compiled; encoding; precision; many seeds.

    python benchmarks/gpu.py steps       # milliseconds a step and grids a second, for three sizes of batch
    python benchmarks/gpu.py train       # the whole schedule of `default`: seconds and what is reached, by precision
    python benchmarks/gpu.py encode      # 80,000 grids encoded, and encoded and decoded
    python benchmarks/gpu.py large       # an epoch of ten million grids: memory, a step at its start and at its end
    python benchmarks/gpu.py seeds       # eight seeds: one after the other, in eight processes, as one batched model

It needs a GPU of NVIDIA's. Speeds are medians of five rounds after a first one, which records and compiles.
"""
import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

import torch
from measure import prepare, wait_for
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from arc_vae.code import dense
from arc_vae.code.network import make_vae
from arc_vae.corpus.generator import make_grids
from arc_vae.corpus.writing import make_corpus
from arc_vae.infra.logging import quiet
from arc_vae.infra.random import rng
from arc_vae.infra.settings import Captured
from arc_vae.metrics.labels import markdown_table
from arc_vae.model import encode_decode
from arc_vae.train import loss_terms, take_batch, train, train_steps
from arc_vae.training.settings import make_config

DEVICE = "cuda"


def fitted(grids, seed=0):
    "The default network before its first step."
    vae = make_vae("objects", seed=seed).to(DEVICE)
    vae.fit(grids, say=lambda line: None)
    return vae


def clock(do, rounds=5):
    "Seconds of the first round, and the median of those after it."
    seconds = []
    for _ in range(rounds + 1):
        wait_for(DEVICE)
        start = time.perf_counter()
        do()
        wait_for(DEVICE)
        seconds.append(time.perf_counter() - start)
    return seconds[0], median(seconds[1:])


def step_seconds(grids, batch_size, how, steps=100):
    "Seconds of the first hundred steps, seconds of a later step, and the peak of the GPU's memory in MB."
    backend = "inductor" if how == "compiled, one graph" else ""
    it = prepare(make_config("default", batch_size=batch_size, device=DEVICE, compile=backend), grids)
    update = it.update.function if how == "as it is" else it.update
    whole = grids[:len(grids)//batch_size*batch_size]
    training = (each for epoch in range(1000)
                for each in train_steps(it.vae, it.opt, whole, epoch, it.cfg, update=update))
    torch.cuda.reset_peak_memory_stats()
    first, later = clock(lambda: list(islice(training, steps)))
    return first, later/steps, torch.cuda.max_memory_allocated()/1e6


def steps(grids, corpus):
    rows = [("batch", "how", "ms a step", "grids/s", "first 100 steps, s", "peak memory, MB")]
    for batch_size in (256, 1024, 4096):
        for how in ("as it is", "one graph", "compiled, one graph"):
            first, step, peak = step_seconds(grids, batch_size, how)
            rows.append((f"{batch_size:,}", how, f"{1000*step:.2f}", f"{batch_size/step:,.0f}", f"{first:.1f}",
                         f"{peak:,.0f}"))
            print(*rows[-1], sep=" | ", flush=True)
    print(markdown_table(rows))


def training_row(name, corpus, **changes):
    "The whole schedule of `default` as a row."
    cfg = make_config("default", wandb="disabled", device=DEVICE, corpus=corpus, **changes)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)/"run"
        start = time.perf_counter()
        with quiet(): summary = train(cfg, run)
        seconds = time.perf_counter() - start
        log = [json.loads(line) for line in (run/"log.jsonl").read_text(encoding="utf-8").splitlines()]
    best = log[summary["best_epoch"] - 1]
    row = (name, str(cfg.seed), f"{seconds:.1f}", f"{median(epoch['grids_per_second'] for epoch in log):,.0f}",
           f"{best['val_objective']:.2f}", f"{best['val_foreground_accuracy']:.1%}", f"{best['val_exact_match']:.1%}")
    print(*row, sep=" | ", flush=True)
    return row


def whole_training(grids, corpus):
    larger = dict(batch_size=1024, lr=4e-3)
    rows = [("how", "seed", "seconds in all", "grids/s", "D + 2R", "colored", "exact")]
    for seed in range(3): rows.append(training_row("batches of 256", corpus, seed=seed))
    for seed in range(3): rows.append(training_row("batches of 1,024, lr 4e-3", corpus, seed=seed, **larger))
    rows.append(training_row("batches of 256, compiled", corpus, compile="inductor"))
    torch.set_float32_matmul_precision("high")
    rows.append(training_row("batches of 256, TF32 products", corpus))
    torch.set_float32_matmul_precision("highest")
    with torch.autocast(DEVICE, torch.bfloat16):
        rows.append(training_row("batches of 256, bf16 products", corpus))
        rows.append(training_row("batches of 1,024, lr 4e-3, bf16 products", corpus, **larger))
    print(markdown_table(rows))


def encode(grids, corpus):
    vae = fitted(grids).eval()
    rows = [("what", "grids/s")]
    for size in (1000, 10_000):
        _, seconds = clock(lambda size=size: vae.encode(grids, batch_size=size, check=False))
        rows.append((f"encode, {size:,} at a time", f"{len(grids)/seconds:,.0f}"))
        _, seconds = clock(lambda size=size: encode_decode(vae, grids, rng("evaluate", 0), size))
        rows.append((f"encode, decode the mean and a sample, {size:,} at a time", f"{len(grids)/seconds:,.0f}"))
    print(markdown_table(rows))


def a_million(seed): return make_grids(1_000_000, seed=seed)[0]


def large(grids, corpus):
    with multiprocessing.get_context("spawn").Pool(10) as pool: parts = pool.map(a_million, range(10))
    ten_million = torch.cat([torch.from_numpy(part) for part in parts])
    cfg = make_config("default", device=DEVICE)
    for some in (grids, ten_million.to(DEVICE)):
        it = prepare(cfg, some)
        torch.cuda.reset_peak_memory_stats()
        at = []
        for number, _ in enumerate(train_steps(it.vae, it.opt, some, 0, cfg, update=it.update)):
            if number%50: continue
            wait_for(DEVICE)
            at.append(time.perf_counter())
        step = [1000*(b - a)/50 for a, b in zip(at[1:], at[2:])]
        speed = 50*cfg.batch_size*len(step)/(at[-1] - at[1])
        print(f"{len(some):,} grids: an epoch {at[-1] - at[0]:.1f} s, {speed:,.0f} grids/s; "
              f"a step at its start {median(step[:5]):.2f} ms, at its end {median(step[-5:]):.2f} ms; "
              f"peak {torch.cuda.max_memory_allocated()/1e6:,.0f} MB", flush=True)


class Terms(nn.Module):
    "loss_terms as a module, where the groups of connected cells are known: a Triton program cannot be batched."
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, x, noise, groups):
        before, dense.groups_of = dense.groups_of, lambda x: groups
        try: return loss_terms(self.vae, x, noise)
        finally: dense.groups_of = before


def batched_update(models, cfg):
    "An update of several models at once, their weights stacked; a function of their grids, their noise and beta."
    base = Terms(models[0])
    params, buffers = stack_module_state([Terms(vae) for vae in models])
    params = {name: each.detach().requires_grad_() for name, each in params.items() if each.numel()}
    opt = torch.optim.Adam(params.values(), torch.tensor(cfg.lr, device=DEVICE), fused=True, capturable=True)

    def terms(params, buffers, x, noise, groups): return functional_call(base, (params, buffers), (x, noise, groups))

    def update(x, noise, beta):
        groups = dense.groups_of(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        d, r = vmap(terms)(params, buffers, x, noise, groups)
        opt.zero_grad()
        (d + beta*r).mean(1).sum().backward()
        squared = sum(each.grad.reshape(len(x), -1).square().sum(1) for each in params.values())
        scale = (cfg.grad_clip/(squared.sqrt() + 1e-6)).clamp(max=1)
        for each in params.values(): each.grad.mul_(scale.view(-1, *[1]*(each.ndim - 1)))
        opt.step()
        return torch.stack([d.detach().mean(1), r.detach().mean(1)])
    return Captured(update)


ALONE = """
import sys
sys.path.insert(0, "benchmarks")
import gpu, torch
print(gpu.step_seconds(torch.from_numpy(gpu.a_million(0)[:80_000]).cuda(), 256, "one graph", 400)[1])
"""


def seeds(grids, corpus, n=8):
    cfg = make_config("default", device=DEVICE)
    alone = cfg.batch_size/step_seconds(grids, cfg.batch_size, "one graph")[1]
    workers = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", ALONE], stdout=subprocess.PIPE, text=True)
               for _ in range(n)]
    together = sum(cfg.batch_size/float(worker.communicate()[0].split()[-1]) for worker in workers)
    rows = [("eight seeds", "grids/s of all together"), ("one after the other", f"{alone:,.0f}"),
            ("eight processes on the GPU", f"{together:,.0f}")]
    update = batched_update([fitted(grids, seed) for seed in range(n)], cfg)
    order = torch.randperm(len(grids), device=DEVICE)

    def step(number):
        x = torch.stack([take_batch(grids, order, seed, number, cfg) for seed in range(n)])
        generator = rng("noise", 0, number, device=DEVICE)
        noise = torch.randn(n, cfg.batch_size, cfg.latent_dim, device=DEVICE, generator=generator)
        return update(x, noise, 1.)

    _, seconds = clock(lambda: [step(number) for number in range(50)])
    rows.append(("one batched model", f"{50*n*cfg.batch_size/seconds:,.0f}"))
    print(markdown_table(rows))
    print("distortion and rate of each:", step(0).T.round(decimals=1).tolist())


WHAT = dict(steps=steps, train=whole_training, encode=encode, large=large, seeds=seeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=list(WHAT), default=list(WHAT))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder)/"corpus.npz", 100_000, 0)
        grids = torch.from_numpy(make_grids(80_000, seed=0)[0]).to(DEVICE)
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
        for name in args.what:
            print(f"\n{name}", flush=True)
            WHAT[name](grids, str(corpus))


if __name__ == "__main__": main()

"""Speed of preset `default` on a GPU of NVIDIA's: the commands behind that part of speed.md.

    python benchmarks/gpu.py steps       # milliseconds a step and grids a second, for three sizes of batch
    python benchmarks/gpu.py train       # the whole schedule: seconds and what is reached, by batch size and precision
    python benchmarks/gpu.py encode      # 80,000 grids encoded, and encoded and decoded

Speeds are medians of five rounds after a first one, which records the graph or compiles.
"""
import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

import torch
from measure import prepare, wait_for

from arc_vae.infra.logging import quiet
from arc_vae.data import rng
from arc_vae.infra.runs import read_log
from arc_vae.metrics.labels import markdown_table
from arc_vae.model import encode_decode
from arc_vae.train import train
from arc_vae.training.settings import make_config, open_corpus

DEVICE = "cuda"


def time_rounds(task, rounds=5):
    "Seconds of the first round, and the median of those after it."
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        task()
        wait_for(DEVICE)
        seconds.append(time.perf_counter() - start)
    return seconds[0], median(seconds[1:])


def steps(corpus):
    "A step operation by operation, as one CUDA graph, and compiled."
    rows = [("batch", "how", "ms a step", "grids/s", "first 100 steps, s", "peak memory, MB")]
    for batch in (256, 1024, 4096):
        for how in ("as it is", "one graph", "compiled, one graph"):
            cfg = make_config("default", batch_size=batch, device=DEVICE,
                              compile="inductor" if how == "compiled, one graph" else "")
            # whole batches only, for each size of batch is a graph of its own
            _, training = prepare(cfg, corpus.train[:80_000//batch*batch], graph=how != "as it is")
            torch.cuda.reset_peak_memory_stats()
            first, later = time_rounds(lambda training=training: list(islice(training, 100)))
            rows.append((f"{batch:,}", how, f"{10*later:.2f}", f"{100*batch/later:,.0f}", f"{first:.1f}",
                         f"{torch.cuda.max_memory_allocated()/1e6:,.0f}"))
            print(*rows[-1], sep=" | ", flush=True)
    return rows


def training_row(name, **changes):
    "The whole schedule of `default` as a row."
    cfg = make_config("default", wandb="disabled", device=DEVICE, **changes)
    with tempfile.TemporaryDirectory() as folder, quiet():
        run = Path(folder)/"run"
        start = time.perf_counter()
        summary = train(cfg, run)
        seconds = time.perf_counter() - start
        log = read_log(run)
    best = log[summary["best_epoch"] - 1]
    row = (name, str(cfg.seed), f"{seconds:.1f}", f"{median(epoch['grids_per_second'] for epoch in log):,.0f}",
           f"{best['val_objective']:.2f}", f"{best['val_foreground_accuracy']:.1%}", f"{best['val_exact_match']:.1%}")
    print(*row, sep=" | ", flush=True)
    return row


def whole_training(corpus):
    "Trainings that differ in batch size and in the precision of their products."
    usual, larger = dict(corpus=corpus.path), dict(corpus=corpus.path, batch_size=1024, lr=4e-3)
    rows = [("how", "seed", "seconds in all", "grids/s", "D + 2R", "colored", "exact")]
    for seed in range(3): rows.append(training_row("batches of 256", seed=seed, **usual))
    for seed in range(3): rows.append(training_row("batches of 1,024, lr 4e-3", seed=seed, **larger))
    rows.append(training_row("batches of 256, compiled", compile="inductor", **usual))
    torch.set_float32_matmul_precision("high")
    rows.append(training_row("batches of 256, TF32 products", **usual))
    torch.set_float32_matmul_precision("highest")
    with torch.autocast(DEVICE, torch.bfloat16): rows.append(training_row("batches of 256, bf16 products", **usual))
    return rows


def encode(corpus):
    "Encoding alone, and with the decoding of mean and sample that an evaluation does."
    grids = corpus.train
    vae, _ = prepare(make_config("default", device=DEVICE), grids)
    vae.eval()
    rows = [("what", "grids/s")]
    for size in (1000, 10_000):
        _, seconds = time_rounds(lambda size=size: vae.encode(grids, batch_size=size, check=False))
        rows.append((f"encode, {size:,} at a time", f"{len(grids)/seconds:,.0f}"))
        _, seconds = time_rounds(lambda size=size: encode_decode(vae, grids, rng("evaluate", 0), size))
        rows.append((f"encode, decode the mean and a sample, {size:,} at a time", f"{len(grids)/seconds:,.0f}"))
    return rows


TABLES = dict(steps=steps, train=whole_training, encode=encode)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=list(TABLES), default=list(TABLES))
    args = parser.parse_args()
    corpus = open_corpus(make_config("default"), Path(__file__).parents[1]/"outputs"/"corpus").to(DEVICE)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for name in args.tables: print(f"\n{markdown_table(TABLES[name](corpus))}", flush=True)


if __name__ == "__main__": main()

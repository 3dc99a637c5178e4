"""Grids a second on a CPU: the commands behind speed.md.

    python benchmarks/speed.py steps [--threads 1 2] [--rounds 3]      # training by batch size, encoding, evaluation
    python benchmarks/speed.py busy --rounds 9                         # training `default` beside busy processes
    PYTHONPATH=FOLDER python benchmarks/speed.py pairs                 # against the loops of loops.py

All tasks take turns in one process. Tables show medians of the rounds; `pairs` also shows how many times as fast the
package is in the same round, as median (10th-90th percentile). Without pythae its rows are left out.
"""
import argparse
import importlib.util
import logging
import os
import subprocess
import sys
from itertools import islice
from statistics import median

import numpy as np
import torch
from measure import prepare, time_in_turns, use_kernel_environment, using_threads
from loops import LOOPS

from arc_vae.code.network import make_vae
from arc_vae.corpus.generator import make_grids
from arc_vae.data import rng
from arc_vae.metrics.labels import markdown_table
from arc_vae.model import encode_decode
from arc_vae.training.settings import make_config

PRESETS = ("default", "long", "reference")
BATCHES = (64, 128, 256, 512, 1024, 2048)
GRIDS = 2048  # trained, encoded or evaluated by a task in each round
PAIR_BATCH, PAIR_GRIDS = 128, 1024


def with_threads(threads, function):
    "The function, run with so many threads of torch."
    def run():
        with using_threads(threads): function()
    return run


def tasks_of(preset, threads, grids):
    "What is timed of a preset with so many threads: {(preset, threads, column): function}."
    def train(batch):
        _, steps = prepare(make_config(preset, batch_size=batch, device="cpu"), grids)
        return lambda: list(islice(steps, GRIDS//batch))
    vae, _ = prepare(make_config(preset, device="cpu"), grids)
    columns = {f"batch {batch}": train(batch) for batch in BATCHES}
    columns["encoding"] = lambda: vae.encode(grids, check=False)
    columns["evaluation"] = lambda: encode_decode(vae, grids, rng("evaluate", 0))
    return {(preset, threads, name): with_threads(threads, task) for name, task in columns.items()}


def steps(args):
    "Grids a second of training, encoding and evaluating, a row for each preset and number of threads."
    grids = torch.from_numpy(make_grids(GRIDS)[0])
    tasks = {}
    for preset in PRESETS:
        for threads in args.threads: tasks |= tasks_of(preset, threads, grids)
    seconds = time_in_turns(tasks, args.rounds)
    rows = {}
    for (preset, threads, _), found in seconds.items():
        row = rows.setdefault((preset, threads), [f"`{preset}`", str(threads)])
        row.append(f"{GRIDS/median(found):,.0f}")
    columns = dict.fromkeys(column for _, _, column in tasks)
    return [("grids/s", "threads", *columns), *rows.values()]


def busy(args):
    "Grids a second of training `default` with so many threads, a row for each number of processes that only compute."
    _, steps = prepare(make_config("default", device="cpu"), torch.from_numpy(make_grids(GRIDS)[0]))
    def train(): return list(islice(steps, GRIDS//256))
    rows = [("busy processes", *(f"`threads={threads}`, grids/s" for threads in args.threads))]
    for n in range(3):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
        try: seconds = time_in_turns({threads: with_threads(threads, train) for threads in args.threads}, args.rounds)
        finally:
            for other in others:
                other.kill()
                other.wait()
        rows.append((str(n), *(f"{GRIDS/median(found):,.0f}" for found in seconds.values())))
    return rows


def pairs(args):
    "Grids a second of preset `reference` in three loops, with and without augmentation."
    grids = make_grids(PAIR_GRIDS)[0]
    loops = [name for name in LOOPS if name == "loader" or importlib.util.find_spec(name)]
    rows = [("", "threads", "grids/s", "arc_vae is as many times as fast")]
    for threads in args.threads:
        for augment in (True, False):
            kind = "augmented" if augment else "plain"
            cfg = make_config("reference", batch_size=PAIR_BATCH, augment_symmetries=augment, augment_colors=augment)
            _, steps = prepare(cfg, grids)
            tasks = {"arc_vae": lambda steps=steps: list(islice(steps, PAIR_GRIDS//PAIR_BATCH))}
            for name in loops: tasks[name] = LOOPS[name](make_vae("reference"), grids, PAIR_BATCH, augment)
            with using_threads(threads): seconds = time_in_turns(tasks, args.rounds)
            for name, found in seconds.items():
                low, middle, high = np.percentile(np.divide(found, seconds["arc_vae"]), (10, 50, 90))
                ratio = f"**{middle:.2f}** ({low:.2f}-{high:.2f})" if name != "arc_vae" else ""
                rows.append((f"{name}, {kind}", str(threads), f"{PAIR_GRIDS/median(found):,.0f}", ratio))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("steps", "busy", "pairs"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    use_kernel_environment()
    logging.disable(logging.INFO)  # pythae's messages
    load = os.getloadavg()[0]
    print(markdown_table(dict(steps=steps, busy=busy, pairs=pairs)[args.table](args)))
    print(f"\n{os.cpu_count()} CPUs ({torch.backends.cpu.get_cpu_capability()}), load {load:.1f} before and "
          f"{os.getloadavg()[0]:.1f} at the end, torch {torch.__version__}")


if __name__ == "__main__": main()

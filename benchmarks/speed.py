"""Training speed against plain reference implementations, and over threads, batch sizes and presets: the commands behind speed.md.

    PYTHONPATH=FOLDER python benchmarks/speed.py pairs [--corpus corpus.npz] [--threads 1 2] [--rounds 5]     # FOLDER: see reference_pythae.py; without pythae, its rows are left out
    python benchmarks/speed.py scaling [--corpus corpus.npz] [--threads 1 2]
    python benchmarks/speed.py processes [--rounds 3]

pairs: preset `reference`, as the package trains it, as reference_loader.py does and as reference_pythae.py does: the same grids, networks, loss and batch size, each in a process of its own, in turns. A round is an epoch over the first
--grids grids. Augmented, all three turn and recolor; plain, none does. All have the environment that `arc-vae train` sets for its kernel (see execute in arc_vae.cli), except where a row says that it has none of it.
scaling: the package alone, all cells in turns in one process.
processes: whole small trainings, with one process of one thread, one of two, and two of one, in turns; grids a second of the second epoch.
"""
import argparse
import importlib.util
import logging
import math
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from arc_vae.atomic import make_grids
from arc_vae.bench import Worker, alternate, paired_ratio, prepare, serve, speed, train_round, using_threads
from arc_vae.cli import _ENVIRONMENT
from arc_vae.data import load_corpus
from arc_vae.train import make_config, train
from arc_vae.watch import read_log

HERE, BATCH = Path(__file__).resolve().parent, 128
BATCHES, PRESETS = (64, 128, 256, 512, 1024, 2048), ("default", "long", "reference")
BARE = dict.fromkeys(_ENVIRONMENT)  # none of it
OURS = {True: "arc_vae, augmented", False: "arc_vae, plain"}
SUBJECTS = [  # name, implementation, augmented, DataLoader workers, environment
    (OURS[True], "ours", True, 0, {}), ("DataLoader, augmented", "loader", True, 0, {}), ("DataLoader with 2 workers, augmented", "loader", True, 2, {}), ("pythae, augmented", "pythae", True, 0, {}),
    (OURS[False], "ours", False, 0, {}), ("DataLoader, plain", "loader", False, 0, {}), ("pythae, plain", "pythae", False, 0, {}),
    ("DataLoader, augmented, bare environment", "loader", True, 0, BARE), ("pythae, augmented, bare environment", "pythae", True, 0, BARE)]


def epochs_of(kind, grids, threads, augment, workers, folder):
    "A function that trains one more epoch."
    if kind == "ours":
        subject = prepare(make_config("reference", batch_size=BATCH, threads=threads, device="cpu", augment_symmetries=augment, augment_colors=augment), grids)
        return lambda: train_round(subject, len(grids)//BATCH)
    if kind == "loader":
        from reference_loader import epochs_of
        return epochs_of(grids, BATCH, augment, workers)
    from reference_pythae import epochs_of
    return epochs_of(grids, BATCH, augment, folder)


def answer(kind, file, threads, augment, workers):
    "Answer for one implementation: an epoch at a time."
    logging.disable(logging.INFO); torch.set_num_threads(threads); torch.manual_seed(0)
    grids = np.load(file)
    with tempfile.TemporaryDirectory() as folder:
        epoch = epochs_of(kind, grids, threads, augment, workers, folder)
        def done():
            start = time.perf_counter(); epoch()
            return dict(train=dict(grids=len(grids), seconds=time.perf_counter() - start))
        serve(dict(warm=done, round=done))


def answer_cells(file, cells):
    "Answer for every cell of the scaling table: seconds of single steps, about a second of them."
    grids, known = np.load(file), {}
    def measured(preset, threads, batch):
        with using_threads(threads):
            if (preset, batch) not in known: train_round(known.setdefault((preset, batch), prepare(make_config(preset, batch_size=batch, device="cpu"), grids)), 1)
            subject = known[preset, batch]
            first = train_round(subject, 1)["seconds"]
            return train_round(subject, max(2, math.ceil(1/first)))["steps"]
    serve({" ".join(map(str, cell)): lambda cell=cell: measured(*cell) for cell in cells})


def started(stack, name, call, environment):
    "A worker in which a function of this file answers."
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import speed; speed.{call}"
    return stack.enter_context(Worker(name, [sys.executable, "-c", code], {k: os.environ.get(k, v) for k, v in _ENVIRONMENT.items()} | dict(TQDM_DISABLE="1") | environment))


def say(line): print(line, file=sys.stderr, flush=True)


def pairs(file, args):
    "For each thread count: grids a second of every subject, and how many times as fast ours is."
    subjects = [s for s in SUBJECTS if s[1] != "pythae" or importlib.util.find_spec("pythae")]
    if len(subjects) < len(SUBJECTS): say("pythae is not installed and left out; reference_pythae.py says how to install it")
    columns = []
    for threads in args.threads:
        with ExitStack() as stack:
            workers = [started(stack, name, f"answer({kind!r}, {file!r}, {threads}, {augment}, {loaders})", environment) for name, kind, augment, loaders, environment in subjects]
            _, found = alternate(workers, args.rounds, say)
        speeds = {s[0]: [speed(done["train"]) for done in each] for s, each in zip(subjects, found)}
        column = {}
        for name, kind, augment, *_ in subjects:
            column[name] = f"{statistics.median(speeds[name]):,.0f}"
            if kind != "ours": r = paired_ratio(speeds[OURS[augment]], speeds[name]); column[name] += f" | **{r['median']:.2f}** ({r['p10']:.2f}-{r['p90']:.2f})"
            else: column[name] += " | "
        columns.append(column)
    lines = ["| | " + " | ".join(f"{t} thread{'s'*(t > 1)}, grids/s | arc_vae is as many times as fast" for t in args.threads) + " |", "|---"*(2*len(columns) + 1) + "|"]
    return "\n".join(lines + [f"| {s[0]} | " + " | ".join(c[s[0]] for c in columns) + " |" for s in subjects])


def scaling(file, args):
    "Grids a second over batch sizes, a row for each preset and thread count."
    cells, steps = [(p, t, b) for p in PRESETS for t in args.threads for b in BATCHES], {}
    with ExitStack() as stack:
        worker = started(stack, "scaling", f"answer_cells({file!r}, {cells!r})", {})
        for r in range(args.passes):
            for cell in cells if r%2 == 0 else reversed(cells): steps.setdefault(cell, []).extend(worker.ask(" ".join(map(str, cell))))
            say(f"pass {r + 1} of {args.passes}")
    lines = ["| grids/s | threads | " + " | ".join(f"batch {b}" for b in BATCHES) + " |", "|---"*(len(BATCHES) + 2) + "|"]
    return "\n".join(lines + [f"| `{p}` | {t} | " + " | ".join(f"{b/statistics.median(steps[p, t, b]):,.0f}" for b in BATCHES) + " |" for p in PRESETS for t in args.threads])


def processes(args):
    "Grids a second with threads and with processes, for two presets."
    ways, found = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}, {}
    with tempfile.TemporaryDirectory() as place:
        for r in range(args.rounds):
            for preset in ("default", "reference"):
                for name, (n, threads) in ways.items():
                    run = Path(place)/f"{preset}-{n}-{threads}-{r}"
                    train(make_config(preset, n_corpus=8_000, epochs=2, processes=n, threads=threads, device="cpu", wandb="disabled"), run, say=lambda line: None)
                    found.setdefault((preset, name), []).append(read_log(run)[1]["grids_per_second"])
            say(f"round {r + 1} of {args.rounds}")
    lines = ["| grids/s | " + " | ".join(ways) + " |", "|---"*(len(ways) + 1) + "|"]
    return "\n".join(lines + [f"| `{p}` | " + " | ".join(f"{statistics.median(found[p, w]):,.0f}" for w in ways) + " |" for p in ("default", "reference")])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("pairs", "scaling", "processes"))
    parser.add_argument("--corpus", help="a corpus .npz; without one, grids are generated"); parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--grids", type=int, default=1024, help="of an epoch, for pairs"); parser.add_argument("--rounds", type=int, default=5, help="for pairs"); parser.add_argument("--passes", type=int, default=2, help="for scaling")
    args = parser.parse_args()
    if args.grids < BATCH: parser.error(f"--grids: expected at least {BATCH}")
    n = args.grids//BATCH*BATCH if args.table == "pairs" else max(BATCHES)
    grids = load_corpus(args.corpus).train[:n].numpy() if args.corpus else make_grids(n)[0]
    if len(grids) < n: parser.error(f"--corpus: expected at least {n} training grids, found {len(grids)}")
    load, start = os.getloadavg()[0], time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        np.save(file := f"{place}/grids.npy", grids)
        text = processes(args) if args.table == "processes" else (pairs if args.table == "pairs" else scaling)(file, args)
    print(f"{text}\n\n{os.cpu_count()} CPUs ({torch.backends.cpu.get_cpu_capability()}), load {load:.1f} before and {os.getloadavg()[0]:.1f} at the end, torch {torch.__version__}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__": main()

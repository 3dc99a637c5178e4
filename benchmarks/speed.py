"""Training speed against plain reference implementations, and over threads, batch sizes and presets: the commands
behind speed.md.

    PYTHONPATH=FOLDER python benchmarks/speed.py pairs [--corpus corpus.npz] [--threads 1 2] [--rounds 5]
    python benchmarks/speed.py scaling [--corpus corpus.npz] [--threads 1 2]

pairs: preset `reference`, as the package trains it, as reference_loader.py does and as reference_pythae.py does: the
same grids, networks, loss and batch size, each in a process of its own, in turns. A round is an epoch over the first
--grids grids. Augmented, all three turn and recolor; plain, none does. All have the environment that `arc-vae train`
sets for its kernel (see arc_vae.apps.execute), except where a row says that it has none of it. FOLDER holds pythae
(see reference_pythae.py); without pythae, its rows are left out.
scaling: the package alone, all cells in turns in one process.
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
from typing import NamedTuple

import numpy as np
import torch
from measure import Worker, alternate, grids_per_second, paired_ratio, prepare, serve, train_round, using_threads

from arc_vae.corpus.generator import make_grids
from arc_vae.apps.execute import KERNEL_ENVIRONMENT
from arc_vae.data import load_corpus
from arc_vae.training.settings import make_config

HERE = Path(__file__).resolve().parent
BATCH = 128
BATCHES = (64, 128, 256, 512, 1024, 2048)
PRESETS = ("default", "long", "reference")
BARE = dict.fromkeys(KERNEL_ENVIRONMENT)  # none of it


class Subject(NamedTuple):
    "A row of the table of pairs."
    name: str
    implementation: str  # "ours", "loader" or "pythae"
    augmented: bool
    workers: int = 0       # of the DataLoader
    environment: dict = {}  # beyond that of arc-vae train


OURS = {True: "arc_vae, augmented", False: "arc_vae, plain"}
SUBJECTS = [
    Subject(OURS[True], "ours", True),
    Subject("DataLoader, augmented", "loader", True),
    Subject("DataLoader with 2 workers, augmented", "loader", True, workers=2),
    Subject("pythae, augmented", "pythae", True),
    Subject(OURS[False], "ours", False),
    Subject("DataLoader, plain", "loader", False),
    Subject("pythae, plain", "pythae", False),
    Subject("DataLoader, augmented, bare environment", "loader", True, environment=BARE),
    Subject("pythae, augmented, bare environment", "pythae", True, environment=BARE),
]


def say(line):
    print(line, file=sys.stderr, flush=True)


def markdown(head, rows):
    "A table of its first line and of rows that are lists of texts."
    lines = [head, "|---"*(head.count("|") - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


# In the processes that are measured

def epochs_of(kind, grids, threads, augment, workers, folder):
    "A function that trains one more epoch."
    if kind == "ours":
        cfg = make_config("reference", batch_size=BATCH, threads=threads, device="cpu",
                          augment_symmetries=augment, augment_colors=augment)
        subject = prepare(cfg, grids)
        return lambda: train_round(subject, len(grids)//BATCH)
    if kind == "loader":
        import reference_loader
        return reference_loader.epochs_of(grids, BATCH, augment, workers)
    import reference_pythae
    return reference_pythae.epochs_of(grids, BATCH, augment, folder)


def answer(kind, file, threads, augment, workers):
    "Answer for one implementation: an epoch at a time."
    logging.disable(logging.INFO)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    grids = np.load(file)
    with tempfile.TemporaryDirectory() as folder:
        epoch = epochs_of(kind, grids, threads, augment, workers, folder)

        def timed():
            start = time.perf_counter()
            epoch()
            return dict(train=dict(grids=len(grids), seconds=time.perf_counter() - start))
        serve(dict(warm=timed, round=timed))


def cell_name(cell):
    "What a worker is asked for a cell of the scaling table."
    return " ".join(map(str, cell))


def answer_cells(file, cells):
    "Answer for every cell of the scaling table: seconds of single steps, about a second of them."
    grids = np.load(file)
    subjects = {}

    def prepared(preset, batch):
        "A subject that has made its first step."
        if (preset, batch) not in subjects:
            subjects[preset, batch] = prepare(make_config(preset, batch_size=batch, device="cpu"), grids)
            train_round(subjects[preset, batch], 1)
        return subjects[preset, batch]

    def measured(preset, threads, batch):
        with using_threads(threads):
            subject = prepared(preset, batch)
            first = train_round(subject, 1)["seconds"]
            return train_round(subject, max(2, math.ceil(1/first)))["steps"]
    serve({cell_name(cell): lambda cell=cell: measured(*cell) for cell in cells})


def started(stack, name, call, environment):
    "A worker in which a function of this file answers."
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import speed; speed.{call}"
    of_kernel = {name: os.environ.get(name, value) for name, value in KERNEL_ENVIRONMENT.items()}
    worker = Worker(name, [sys.executable, "-c", code], of_kernel | dict(TQDM_DISABLE="1") | environment)
    return stack.enter_context(worker)


# Tables

def installed_subjects():
    "All subjects whose implementation can be imported."
    if importlib.util.find_spec("pythae"): return SUBJECTS
    say("pythae is not installed and left out; reference_pythae.py says how to install it")
    return [s for s in SUBJECTS if s.implementation != "pythae"]


def measured_speeds(subjects, threads, file, rounds):
    "Name of a subject -> grids a second in each round; all subjects in turns."
    with ExitStack() as stack:
        workers = []
        for s in subjects:
            call = f"answer({s.implementation!r}, {file!r}, {threads}, {s.augmented}, {s.workers})"
            workers.append(started(stack, s.name, call, s.environment))
        _, found = alternate(workers, rounds, say)
    return {s.name: [grids_per_second(done["train"]) for done in results] for s, results in zip(subjects, found)}


def pair_cells(subject, speeds):
    "Its grids a second, and how many times as fast ours is."
    median = f"{statistics.median(speeds[subject.name]):,.0f}"
    if subject.implementation == "ours": return [median, ""]
    ratio = paired_ratio(speeds[OURS[subject.augmented]], speeds[subject.name])
    return [median, f"**{ratio['median']:.2f}** ({ratio['p10']:.2f}-{ratio['p90']:.2f})"]


def pairs(file, args):
    "For each thread count: grids a second of every subject, and how many times as fast ours is."
    subjects = installed_subjects()
    head = "| |"
    rows = {s.name: [s.name] for s in subjects}
    for threads in args.threads:
        speeds = measured_speeds(subjects, threads, file, args.rounds)
        head += f" {threads} thread{'s'*(threads > 1)}, grids/s | arc_vae is as many times as fast |"
        for s in subjects:
            rows[s.name] += pair_cells(s, speeds)
    return markdown(head, rows.values())


def scaling(file, args):
    "Grids a second over batch sizes, a row for each preset and thread count."
    cells = [(preset, threads, batch) for preset in PRESETS for threads in args.threads for batch in BATCHES]
    steps = {cell: [] for cell in cells}
    with ExitStack() as stack:
        worker = started(stack, "scaling", f"answer_cells({file!r}, {cells!r})", {})
        for r in range(args.passes):
            for cell in cells if r%2 == 0 else reversed(cells):
                steps[cell] += worker.ask(cell_name(cell))
            say(f"pass {r + 1} of {args.passes}")
    rows = []
    for preset in PRESETS:
        for threads in args.threads:
            medians = [statistics.median(steps[preset, threads, batch]) for batch in BATCHES]
            speeds = [f"{batch/seconds:,.0f}" for batch, seconds in zip(BATCHES, medians)]
            rows.append([f"`{preset}`", str(threads), *speeds])
    return markdown("| grids/s | threads | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " |", rows)


TABLES = dict(pairs=pairs, scaling=scaling)


def read_grids(parser, args):
    "As many training grids as the table needs."
    n = args.grids//BATCH*BATCH if args.table == "pairs" else max(BATCHES)
    grids = load_corpus(args.corpus).train[:n].numpy() if args.corpus else make_grids(n)[0]
    if len(grids) < n: parser.error(f"--corpus: expected at least {n} training grids, found {len(grids)}")
    return grids


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=tuple(TABLES))
    parser.add_argument("--corpus", help="a corpus .npz; without one, grids are generated")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--grids", type=int, default=1024, help="of an epoch, for pairs")
    parser.add_argument("--rounds", type=int, default=5, help="for pairs")
    parser.add_argument("--passes", type=int, default=2, help="for scaling")
    args = parser.parse_args()
    if args.grids < BATCH: parser.error(f"--grids: expected at least {BATCH}")
    grids = read_grids(parser, args)
    load_before = os.getloadavg()[0]
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        file = f"{place}/grids.npy"
        np.save(file, grids)
        text = TABLES[args.table](file, args)
    print(f"{text}\n\n{os.cpu_count()} CPUs ({torch.backends.cpu.get_cpu_capability()}), load {load_before:.1f} before "
          f"and {os.getloadavg()[0]:.1f} at the end, torch {torch.__version__}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

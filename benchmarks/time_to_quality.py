"""Seconds of training until a stated quality, over seeds: the command behind speed.md's first table.

    C=outputs/corpus/atomic-100000-seed0.npz
    python benchmarks/time_to_quality.py --corpus $C fast
    TQDM_DISABLE=1 PYTHONPATH=FOLDER python benchmarks/time_to_quality.py --corpus $C reference loader pythae --seeds 1

Only training counts: what is fitted before the first step and the steps themselves, not reading the corpus and not
looking at the validation split, which is done after fitting and then after every --every seconds. Each target is a set
of figures that have to be reached together, on the validation split at the means of the posteriors; `objective` is
D + 2R, a sample's. `loader` and `pythae` are the network of `reference` in a plain DataLoader's loop and in pythae's
(see reference_loader.py and reference_pythae.py): as many grids as they manage within --limit, at beta = 1. Beside the
candidates stands the nearest training grid, a table that costs no training at all.
Every run appends a line to time_to_quality.jsonl.
"""
import argparse
import importlib
import json
import logging
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

import torch
from measure import wait_for

from arc_vae.code.network import make_vae
from arc_vae.data import load_corpus
from arc_vae.infra.settings import pick_device
from arc_vae.metrics.labels import markdown_table
from arc_vae.metrics.accuracy import accuracies, count_correct
from arc_vae.metrics.baselines import nearest_grids
from arc_vae.train import make_update, train_steps, validate
from arc_vae.training.settings import beta_at, make_config
from arc_vae.training.state import make_optimizer

HERE = Path(__file__).parent
TOGETHER = 10  # steps that are taken before anybody waits for the device
LOOPS = ("loader", "pythae")
TRIAL = 2560  # grids by which their speed is told
TARGETS = {  # name -> figures that have to be reached together
    "colored 78 %, exact 17 %": dict(foreground_accuracy=.78, exact_match=.17),
    "colored 84 %, exact 39 %": dict(foreground_accuracy=.84, exact_match=.39),
    "D + 2R 82": dict(objective=82.)}


def reaches(figures, target):
    "Whether all figures of a target are reached; the objective is the better the lower."
    return all(figures[name] <= bound if name == "objective" else figures[name] >= bound
               for name, bound in target.items())


class Stopwatch:
    "Seconds that were spent inside `with`, until the device has done what it was told."
    def __init__(self, device):
        self.seconds = 0.
        self.device = device

    def __enter__(self): self.began = time.perf_counter()

    def __exit__(self, *error):
        wait_for(self.device)
        self.seconds += time.perf_counter() - self.began


def steps_of(vae, cfg, grids):
    "Trains one step each time it is asked, through the schedule of the settings."
    opt = make_optimizer(vae, cfg)
    update = make_update(vae, opt, cfg.grad_clip)
    for epoch in range(cfg.epochs): yield from train_steps(vae, opt, grids, epoch, cfg, update=update)


def look(vae, cfg, grids):
    "The figures of the validation split at the final beta, whatever beta is now."
    beta = beta_at(cfg.epochs, cfg)
    vae.set_beta(beta)
    found = validate(vae, grids, cfg)
    return {name: found[name] for name in ("foreground_accuracy", "exact_match", "objective")}


def run(cfg, corpus, every, limit):
    "Train until all targets are reached, or the schedule or the time ends; seconds to each, and the last figures."
    watch = Stopwatch(pick_device(cfg.device))
    corpus = corpus.to(watch.device)
    vae = make_vae(cfg.network, cfg.latent_dim, cfg.seed).to(watch.device)
    with watch: vae.fit(corpus.train, say=lambda line: None)
    reached, course = {}, []

    def note():
        figures = look(vae, cfg, corpus.val)
        course.append(dict(seconds=watch.seconds, **figures))
        for name, target in TARGETS.items():
            if name not in reached and reaches(figures, target): reached[name] = watch.seconds

    note()
    steps = steps_of(vae, cfg, corpus.train)
    seen = watch.seconds
    while len(reached) < len(TARGETS) and watch.seconds < limit:
        with watch: done = list(islice(steps, TOGETHER))
        if not done: break
        if watch.seconds - seen >= every:
            note()
            seen = watch.seconds
    if course[-1]["seconds"] < watch.seconds: note()
    return dict(preset=cfg.preset, seed=cfg.seed, threads=cfg.threads, device=watch.device,
                fitted=course[0], last=course[-1], reached=reached, course=course)


def run_elsewhere(loop, cfg, corpus, limit):
    "Train `reference` in another loop with as many grids as there is time for, and look once."
    epochs_of = importlib.import_module(f"reference_{loop}").epochs_of
    vae, trial = (make_vae("reference", seed=cfg.seed) for _ in range(2))
    torch.manual_seed(cfg.seed)
    watch = Stopwatch("cpu")

    def train(vae, n):
        with tempfile.TemporaryDirectory() as folder:
            place = dict(folder=folder) if loop == "pythae" else {}
            epoch = epochs_of(corpus.train[:n].numpy(), halves=(vae.encoder, vae.decoder), **place)
            with watch: epoch()
        return watch.seconds

    n = min(len(corpus.train), int(limit*TRIAL/train(trial, TRIAL)))
    watch.seconds = 0.
    last = dict(seconds=train(vae, n), **look(vae, cfg, corpus.val))
    reached = {name: last["seconds"] for name, target in TARGETS.items() if reaches(last, target)}
    return dict(preset=loop, seed=cfg.seed, threads=cfg.threads, last=last, reached=reached)


def spread(values):
    "Median, least and most of some seconds; how many of how many reached the target where not all did."
    found = sorted(value for value in values if value is not None)
    if not found: return "never"
    text = f"{median(found):.1f} s ({found[0]:.1f}–{found[-1]:.1f})"
    return text if len(found) == len(values) else f"{text}, {len(found)} of {len(values)}"


def table(records, nearest):
    "A row for each preset and number of threads."
    rows = [("preset", "threads", "seeds", *TARGETS, "last look: colored, exact, D + 2R")]
    for preset, threads in dict.fromkeys((r["preset"], r["threads"]) for r in records):
        runs = [r for r in records if (r["preset"], r["threads"]) == (preset, threads)]
        times = [spread([r["reached"].get(name) for r in runs]) for name in TARGETS]
        last = [median(r["last"][name] for r in runs) for name in ("foreground_accuracy", "exact_match", "objective")]
        rows.append((f"`{preset}`", str(threads), str(len(runs)), *times,
                     f"{last[0]:.1%}, {last[1]:.1%}, {last[2]:.1f} after "
                     f"{median(r['last']['seconds'] for r in runs):.0f} s"))
    rows.append(("nearest training grid", "", "", *["never"]*len(TARGETS),
                 f"{nearest['foreground_accuracy']:.1%}, {nearest['exact_match']:.1%}"))
    return markdown_table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=["fast"])
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--seeds", type=int, default=10, help="how many (default 10)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--every", type=float, default=5, help="seconds between looks (default 5)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=float, default=120, help="seconds of training at most (default 120)")
    args = parser.parse_args()
    logging.disable(logging.INFO)  # pythae's words
    corpus = load_corpus(args.corpus)
    nearest = accuracies(count_correct(corpus.train[nearest_grids(corpus.train, corpus.val)[0]], corpus.val))
    records = []
    for seed in range(args.seeds):  # presets and threads in turns, so that a slow hour is everybody's
        for preset in args.presets:
            for threads in args.threads:
                torch.set_num_threads(threads)
                network = "reference" if preset in LOOPS else preset
                cfg = make_config(network, seed=seed, threads=threads, device=args.device)
                if preset in LOOPS: records.append(run_elsewhere(preset, cfg, corpus, args.limit))
                else: records.append(run(cfg, corpus, args.every, args.limit))
                with open(HERE/"time_to_quality.jsonl", "a", encoding="utf-8") as f:
                    f.write(json.dumps(records[-1]) + "\n")
                print(f"seed {seed}, {preset}, {threads} threads: {records[-1]['reached']}", flush=True)
    print(table(records, nearest))


if __name__ == "__main__":
    main()

"""Seconds of training until a stated quality, over seeds: the command behind the first table of speed.md.

    C=outputs/corpus/atomic-100000-seed0.npz
    python benchmarks/time_to_quality.py --corpus $C fast
    PYTHONPATH=FOLDER python benchmarks/time_to_quality.py --corpus $C --seeds 1 --limit 60 reference loader pythae

Only training counts: fitting the codebook and the steps, not reading the corpus and not validating, which is done after
fitting and then every --every seconds. The figures of a target have to be reached together on the validation split, at
the means of the posteriors; `objective` is D + 2R of a posterior sample. `loader` and `pythae` are the loops of
loops.py at beta = 1, trained once over as many grids as they manage within --limit. The nearest training grid, which
needs no training, stands beside them. Every run appends a line to time_to_quality.jsonl.
"""
import argparse
import json
import logging
import time
from itertools import islice
from pathlib import Path
from statistics import median

import torch
from measure import prepare, use_kernel_environment, wait_for
from loops import LOOPS

from arc_vae.code.network import make_vae
from arc_vae.corpus.formats import load_corpus
from arc_vae.infra.runs import pick_device
from arc_vae.metrics.labels import markdown_table
from arc_vae.metrics.accuracy import accuracies, count_correct, nearest_grids
from arc_vae.train import validate
from arc_vae.training.settings import beta_at, make_config

LOG = Path(__file__).parent/"time_to_quality.jsonl"
FIGURES = ("foreground_accuracy", "exact_match", "objective")
STEPS = 10      # taken before anybody waits for the device
TRIAL = 2560    # grids by which the speed of a rival is told
TARGETS = {     # name -> figures that have to be reached together; of the objective at most so much
    "colored 78 %, exact 17 %": dict(foreground_accuracy=.78, exact_match=.17),
    "colored 84 %, exact 39 %": dict(foreground_accuracy=.84, exact_match=.39),
    "D + 2R 82": dict(objective=82.)}


def reaches(figures, target):
    "Whether all figures of a target are reached."
    return all(figures[name] <= bound if name == "objective" else figures[name] >= bound
               for name, bound in target.items())


class Stopwatch:
    "Seconds that were spent inside `with`, until the device has finished."
    def __init__(self, device):
        self.seconds = 0.
        self.device = device

    def __enter__(self): self.began = time.perf_counter()

    def __exit__(self, *error):
        wait_for(self.device)
        self.seconds += time.perf_counter() - self.began


def look(vae, cfg, grids, watch):
    "The seconds so far and the figures of the validation split, at the final beta whatever beta is now."
    vae.set_beta(beta_at(cfg.epochs, cfg))
    found = validate(vae, grids, cfg)
    return dict(seconds=watch.seconds) | {name: found[name] for name in FIGURES}


def run(cfg, corpus, every, limit):
    "Train until all targets are reached, or the schedule or the time ends; every look at the figures."
    watch = Stopwatch(pick_device(cfg.device))
    corpus = corpus.to(watch.device)
    with watch: vae, steps = prepare(cfg, corpus.train, cfg.epochs)
    course = [look(vae, cfg, corpus.val, watch)]
    done = True
    while done and watch.seconds < limit and not all(reaches(course[-1], target) for target in TARGETS.values()):
        with watch: done = list(islice(steps, STEPS))
        due = min(limit, course[-1]["seconds"] + every)
        if not done or watch.seconds >= due: course.append(look(vae, cfg, corpus.val, watch))
    return course


def run_rival(loop, cfg, corpus, limit):
    "Train `reference` in another loop on as many grids as there is time for, and look once."
    torch.manual_seed(cfg.seed)
    watch = Stopwatch("cpu")
    trial = loop(make_vae("reference", seed=cfg.seed), corpus.train[:TRIAL].numpy())
    with watch: trial()
    n = int(limit*TRIAL/watch.seconds)
    vae = make_vae("reference", seed=cfg.seed)
    epoch = loop(vae, corpus.train[:n].numpy())
    watch.seconds = 0.
    with watch: epoch()
    return [look(vae, cfg, corpus.val, watch)]


def measure(preset, seed, threads, corpus, args):
    "A line of time_to_quality.jsonl."
    torch.set_num_threads(threads)
    cfg = make_config("reference" if preset in LOOPS else preset, seed=seed, threads=threads, device=args.device)
    if preset in LOOPS: course = run_rival(LOOPS[preset], cfg, corpus, args.limit)
    else: course = run(cfg, corpus, args.every, args.limit)
    reached = {}
    for name, target in TARGETS.items():
        times = [figures["seconds"] for figures in course if reaches(figures, target)]
        if times: reached[name] = times[0]
    print(f"seed {seed}, {preset}, {threads} threads: {reached}", flush=True)
    return dict(preset=preset, seed=seed, threads=threads, device=cfg.device, last=course[-1], reached=reached,
                course=course)


def spread(values, n):
    "Median, least and most of some seconds; of how many seeds where not all reached the target."
    if not values: return "never"
    text = f"{median(values):.1f} s ({min(values):.1f}–{max(values):.1f})"
    return text if len(values) == n else f"{text}, {len(values)} of {n}"


def table(records, nearest):
    "A row for each preset and number of threads."
    rows = [("preset", "threads", "seeds", *TARGETS, "last look: colored, exact, D + 2R")]
    for preset, threads in dict.fromkeys((r["preset"], r["threads"]) for r in records):
        runs = [r for r in records if (r["preset"], r["threads"]) == (preset, threads)]
        times = [spread([r["reached"][name] for r in runs if name in r["reached"]], len(runs)) for name in TARGETS]
        colored, exact, objective, seconds = (median(r["last"][name] for r in runs) for name in (*FIGURES, "seconds"))
        rows.append((f"`{preset}`", str(threads), str(len(runs)), *times,
                     f"{colored:.1%}, {exact:.1%}, {objective:.1f} after {seconds:.0f} s"))
    return markdown_table([*rows, ("nearest training grid", "", "", *["never"]*len(TARGETS), nearest)])


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
    use_kernel_environment()
    logging.disable(logging.INFO)  # pythae's messages
    corpus = load_corpus(args.corpus)
    records = []
    # presets and threads take turns, so that a slow hour slows all of them
    for seed in range(args.seeds):
        for preset in args.presets:
            for threads in args.threads:
                records.append(measure(preset, seed, threads, corpus, args))
                with LOG.open("a", encoding="utf-8") as file: file.write(json.dumps(records[-1]) + "\n")
    found = accuracies(count_correct(corpus.train[nearest_grids(corpus.train, corpus.val)], corpus.val))
    print(table(records, f"{found['foreground_accuracy']:.1%}, {found['exact_match']:.1%}"))


if __name__ == "__main__": main()

"""Train candidates for equal time on one corpus and compare what they reach: the command behind quality.md.

    python benchmarks/quality.py --minutes 2 --seeds 0 1 2 default reference default:batch_size=512,lr=3e-3
    python benchmarks/quality.py --minutes 2 default default:network=separable

A candidate is a preset, maybe with settings after a colon; besides the networks of the package, those of variants.py
can be named. All candidates are timed in turn first; each then gets as many epochs as fit into the minutes (3 to 50, or
exactly --epochs), the ramps of beta ending at one and three fifths of them as in the specification. The figures are of
the validation split: candidates are chosen by them, so the test split stays out of it. Every run appends a line to
quality.jsonl.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, median, stdev

import torch
from measure import prepare, train_round
import variants  # noqa: F401  registers its networks, which arc_vae.train must find

from arc_vae import train
from arc_vae.code.network import make_vae
from arc_vae.metrics.labels import markdown_table

HERE = Path(__file__).parent
SHOWN = dict(pixel_accuracy="pixel", foreground_accuracy="colored", exact_match="exact", distortion="D", rate="R",
             objective="D + 2R", elbo="elbo")


def say(line):
    print(line, file=sys.stderr, flush=True)


def settings(candidate, seed, args):
    "The configuration that a candidate's text describes."
    preset, _, text = candidate.partition(":")
    changes = dict(change.split("=", 1) for change in text.split(",") if change)
    asked = dict(corpus=args.corpus, n_train=args.n_train, threads=args.threads, wandb="disabled", seed=seed)
    return train.make_config(preset, **asked | changes)


def speed(cfg, grids):
    "Grids a second of a few training steps."
    candidate = prepare(cfg, grids)
    train_round(candidate, 10)
    done = train_round(candidate, 100)
    return done["grids"]/done["seconds"]


def measured(record):
    "What is kept of an epoch."
    kept = {name: record[f"val_{name}"] for name in SHOWN if name != "objective"}
    objective = record["val_distortion"] + 2*record["val_rate"]
    return kept | dict(objective=objective, epoch=record["epoch"], beta=record["beta"])


def run(candidate, cfg, corpus):
    "Train one candidate once; the record for quality.jsonl."
    with tempfile.TemporaryDirectory() as place:
        train.fit(cfg, corpus, place)
        log = [json.loads(line) for line in (Path(place)/"log.jsonl").read_text().splitlines()]
    beta_one = next(epoch for epoch in log if epoch["beta"] >= cfg.beta_mid - 1e-9)
    last = log[-1]
    return dict(
        candidate=candidate, seed=cfg.seed, epochs=cfg.epochs,
        minutes=last["seconds"]/60,
        grids=cfg.epochs*len(corpus.train),
        threads=cfg.threads or torch.get_num_threads(),
        parameters=sum(p.numel() for p in make_vae(cfg.network, cfg.latent_dim).parameters()),
        beta_one=measured(beta_one), final=measured(last), kl_per_dim=last["val_kl_per_dim"])


def number(name, value):
    "A figure as the table shows it: shares in percent."
    return f"{100*value:.1f}" if name.endswith(("accuracy", "match")) else f"{value:.1f}"


def spread(name, values):
    "Mean of a figure, and its standard deviation where there are several seeds."
    if len(values) == 1: return number(name, mean(values))
    return f"{number(name, mean(values))} ± {number(name, stdev(values))}"


def table(records):
    "Mean and spread over seeds as a table in markdown."
    rows = [["candidate", "seeds", "million grids", "minutes", "end of", *SHOWN.values()]]
    for name, grids in dict.fromkeys((r["candidate"], r["grids"]) for r in records):
        runs = [r for r in records if (r["candidate"], r["grids"]) == (name, grids)]  # trained for longer: another line
        minutes = mean(r["minutes"] for r in runs)
        for phase, label in (("beta_one", "β = 1"), ("final", f"β = {runs[0]['final']['beta']:g}")):
            figures = [spread(key, [r[phase][key] for r in runs]) for key in SHOWN]
            rows.append([name, str(len(runs)), f"{grids/1e6:.2f}", f"{minutes:.1f}", label, *figures])
    return markdown_table(rows)


def typical_speeds(configs, grids):
    "Candidate -> grids a second, the median of three measurements that are taken in turns."
    speeds = {candidate: [] for candidate in configs}
    for _ in range(3):
        for candidate, cfg in configs.items():
            speeds[candidate].append(speed(cfg, grids))
    return {candidate: median(found) for candidate, found in speeds.items()}


def with_epochs(cfg, epochs):
    "Settings with so many epochs, of which the ramps of beta end at one and three fifths."
    return replace(cfg, epochs=epochs, beta_mid_epoch=max(1, round(epochs/5)),
                   beta_final_epoch=max(2, round(epochs*3/5)), patience=epochs)


def commit_here():
    "The commit of this working tree."
    words = ["git", "-C", HERE, "describe", "--always", "--dirty"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def parse_arguments():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("candidates", nargs="*", default=["default", "reference"])
    ask.add_argument("--minutes", type=float, default=2, help="training time of each candidate and seed (default 2)")
    ask.add_argument("--epochs", type=int, help="exactly so many epochs instead")
    ask.add_argument("--seeds", type=int, nargs="+", default=[0])
    ask.add_argument("--corpus", default="", help="corpus.npz (default: the generated one of seed 0)")
    ask.add_argument("--n-train", type=int, default=0, help="only the first training grids")
    ask.add_argument("--threads", type=int, default=0)
    ask.add_argument("--out", type=Path, default=HERE/"quality.jsonl")
    ask.add_argument("--table", action="store_true", help="train nothing, print the table of what --out holds")
    return ask.parse_args()


def main():
    args = parse_arguments()
    if args.table:
        print(table([json.loads(line) for line in args.out.read_text().splitlines()]))
        return
    try:
        configs = {candidate: settings(candidate, args.seeds[0], args) for candidate in args.candidates}
    except ValueError as e:
        sys.exit(str(e))
    corpus = train.open_corpus(replace(next(iter(configs.values())), seed=0), HERE.parent/"outputs"/"corpus")
    if args.threads: torch.set_num_threads(args.threads)
    if args.epochs:
        epochs = dict.fromkeys(configs, args.epochs)
    else:
        seconds = 60*args.minutes
        speeds = typical_speeds(configs, corpus.train)
        epochs = {c: max(3, min(50, math.floor(seconds*speeds[c]/len(corpus.train)))) for c in configs}
    origin = dict(commit=commit_here(), torch=torch.__version__, cores=os.cpu_count(), asked=" ".join(sys.argv[1:]))
    records = []
    for seed in args.seeds:
        for candidate in configs:
            cfg = with_epochs(settings(candidate, seed, args), epochs[candidate])
            say(f"{candidate}, seed {seed}, {cfg.epochs} epochs")
            record = run(candidate, cfg, corpus) | origin
            records.append(record)
            with open(args.out, "a") as file:
                file.write(json.dumps(record) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()

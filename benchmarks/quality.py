"""Train candidates for equal time on one corpus and compare what they reach: the command behind quality.md.

    python benchmarks/quality.py --minutes 2 --seeds 0 1 2 default reference default:batch_size=512,lr=3e-3 default:network=separable

A candidate is a preset, maybe with settings after a colon; besides the networks of the package, those of variants.py can be named. All candidates are timed in turn first; each then gets as many epochs as fit
into the minutes (3 to 50, or exactly --epochs), the ramps of beta ending at one and three fifths of them as in the specification. The figures are of the validation split: candidates are chosen by them, so the test split
stays out of it. Every run appends a line to quality.jsonl.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import torch
import variants  # noqa: F401  registers its networks, which arc_vae.train must find

from arc_vae import train
from arc_vae.code.network import make_vae
from arc_vae.data import rng

HERE = Path(__file__).parent
SHOWN = dict(pixel_accuracy="pixel", foreground_accuracy="colored", exact_match="exact", distortion="D", rate="R", objective="D + 2R", elbo="elbo")


def settings(candidate, seed, args):
    "The configuration that a candidate's text describes."
    preset, _, changes = candidate.partition(":")
    changes = dict(c.split("=", 1) for c in changes.split(",") if c)
    return train.make_config(preset, **dict(corpus=args.corpus, n_train=args.n_train, threads=args.threads, wandb="disabled", seed=seed) | changes)


def speed(cfg, grids, seconds=3.):
    "Grids a second of a few training steps."
    vae, done = make_vae(cfg.network, cfg.latent_dim, cfg.seed), 0
    opt, order = torch.optim.Adam(vae.parameters(), cfg.lr, fused=True), torch.randperm(len(grids))
    take = lambda step: train.train_step(vae, opt, train.take_batch(grids, order, 0, step, cfg), 1., cfg.grad_clip, rng("noise", 0, step))
    take(0)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds: done += int(take(1 + done//cfg.batch_size%max(1, len(grids)//cfg.batch_size - 1))[3])
    return done/(time.perf_counter() - start)


def measured(record):
    "What is kept of an epoch."
    return {k: record[f"val_{k}"] for k in SHOWN if k != "objective"} | dict(objective=record["val_distortion"] + 2*record["val_rate"], epoch=record["epoch"], beta=record["beta"])


def run(candidate, cfg, corpus, say):
    "Train one candidate once; the record for quality.jsonl."
    with tempfile.TemporaryDirectory() as place:
        train.fit(cfg, corpus, place, say=say)
        log = [json.loads(line) for line in (Path(place)/"log.jsonl").read_text().splitlines()]
    one = next(e for e in log if e["beta"] >= cfg.beta_mid - 1e-9)
    return dict(candidate=candidate, seed=cfg.seed, epochs=cfg.epochs, minutes=log[-1]["seconds"]/60, grids=cfg.epochs*len(corpus.train), threads=cfg.threads or torch.get_num_threads(),
                parameters=sum(p.numel() for p in make_vae(cfg.network, cfg.latent_dim).parameters()), beta_one=measured(one), final=measured(log[-1]), kl_per_dim=log[-1]["val_kl_per_dim"])


def table(records):
    "Mean and spread over seeds as a table in markdown."
    spread = lambda values, form: form(mean(values)) + (f" ± {form(stdev(values))}" if len(values) > 1 else "")
    percent, nats = lambda v: f"{100*v:.1f}", lambda v: f"{v:.1f}"
    lines = ["| candidate | seeds | million grids | minutes | end of | " + " | ".join(SHOWN.values()) + " |", "|---"*(5 + len(SHOWN)) + "|"]
    for name, grids in dict.fromkeys((r["candidate"], r["grids"]) for r in records):  # what was trained for longer is another line
        runs = [r for r in records if (r["candidate"], r["grids"]) == (name, grids)]
        for phase, label in (("beta_one", "β = 1"), ("final", f"β = {runs[0]['final']['beta']:g}")):
            cells = [spread([r[phase][k] for r in runs], percent if k.endswith(("accuracy", "match")) else nats) for k in SHOWN]
            lines.append(f"| {name} | {len(runs)} | {grids/1e6:.2f} | {mean(r['minutes'] for r in runs):.1f} | {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
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
    args = ask.parse_args()
    if args.table:
        print(table([json.loads(line) for line in args.out.read_text().splitlines()]))
        return
    try: configs = {c: settings(c, args.seeds[0], args) for c in args.candidates}
    except ValueError as e: sys.exit(str(e))
    say = lambda line: print(line, file=sys.stderr, flush=True)
    corpus = train.open_corpus(replace(next(iter(configs.values())), seed=0), HERE.parent/"outputs"/"corpus", say)
    if args.threads: torch.set_num_threads(args.threads)
    speeds = {c: [] for c in configs}
    if not args.epochs:
        for _ in range(3):
            for c, cfg in configs.items(): speeds[c].append(speed(cfg, corpus.train))
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    records = []
    for seed in args.seeds:
        for c in configs:
            epochs = args.epochs or max(3, min(50, math.floor(60*args.minutes*sorted(speeds[c])[1]/len(corpus.train))))
            cfg = replace(settings(c, seed, args), epochs=epochs, beta_mid_epoch=max(1, round(epochs/5)), beta_final_epoch=max(2, round(epochs*3/5)), patience=epochs)
            say(f"{c}, seed {seed}, {epochs} epochs")
            records.append(run(c, cfg, corpus, say) | dict(commit=commit, torch=torch.__version__, cores=os.cpu_count(), asked=" ".join(sys.argv[1:])))
            with open(args.out, "a") as f: f.write(json.dumps(records[-1]) + "\n")
    print(table(records))


if __name__ == "__main__": main()

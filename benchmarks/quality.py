"""Train candidates for equal time on one corpus and compare what they reach: the command behind quality.md.

    python benchmarks/quality.py --minutes 2 --seeds 0 1 2 default reference default:batch_size=512,lr=3e-3
    python benchmarks/quality.py --minutes 2 default default:network=bases_512

A candidate is a preset, maybe with settings after a colon; the networks `bases_N` and `weight_W` are known here only.
All candidates are timed in turn first; each then gets as many epochs as fit into the minutes (3 to 50, or exactly
--epochs), and the ramps of beta end at one and three fifths of them. The figures are those of the validation split:
candidates are chosen by them, so the test split stays out of it. Every run appends a line to quality.jsonl.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from statistics import mean, median

import torch
from measure import prepare, time_in_turns, use_kernel_environment

from arc_vae.code.network import NETWORKS, object_network
from arc_vae.infra.runs import read_log
from arc_vae.metrics.labels import LABELS, format_spread, markdown_table
from arc_vae.train import train
from arc_vae.training.settings import make_config, open_corpus

HERE = Path(__file__).parent
LOG = HERE/"quality.jsonl"
SHOWN = ("pixel_accuracy", "foreground_accuracy", "exact_match", "distortion", "rate", "objective", "elbo")


def add_variants():
    "Give names to codebooks of other sizes and other prices of an entry."
    # pictures of the codebook, in eight orientations each
    for n in (24, 96, 192, 384, 512, 1024): NETWORKS[f"bases_{n}"] = object_network(bases=n)
    # how much of an entry's rate its choice considers
    for weight in (.4, .5, .6, .8, 1.): NETWORKS[f"weight_{weight}"] = object_network(rate_weight=weight)


def settings(candidate, seed, args, corpus):
    "The settings that a candidate's text describes."
    preset, _, text = candidate.partition(":")
    changes = dict(change.split("=", 1) for change in text.split(",") if change)
    asked = dict(corpus=corpus.path, n_train=args.n_train, threads=args.threads, wandb="disabled", seed=seed)
    return make_config(preset, **asked | changes)


def epochs_that_fit(configs, grids, seconds):
    "For each candidate how many epochs fit into so many seconds, by three rounds of a hundred steps in turns."
    tasks = {}
    for candidate, cfg in configs.items():
        _, steps = prepare(cfg, grids)
        tasks[candidate] = lambda steps=steps: list(islice(steps, 100))
    found = time_in_turns(tasks, 3)
    speeds = {candidate: 100*configs[candidate].batch_size/median(times) for candidate, times in found.items()}
    return {candidate: max(3, min(50, int(seconds*speed/len(grids)))) for candidate, speed in speeds.items()}


def measured(record):
    "What is kept of an epoch."
    kept = {name: record[f"val_{name}"] for name in SHOWN if name != "objective"}
    objective = record["val_distortion"] + 2*record["val_rate"]
    return kept | dict(objective=objective, epoch=record["epoch"], beta=record["beta"])


def run(candidate, cfg, n_train):
    "Train one candidate once; the record for quality.jsonl."
    with tempfile.TemporaryDirectory() as folder:
        train(cfg, Path(folder)/"run")
        log = read_log(Path(folder)/"run")
    beta_one = next(epoch for epoch in log if epoch["beta"] >= cfg.beta_mid - 1e-9)
    commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return dict(
        candidate=candidate, seed=cfg.seed, epochs=cfg.epochs, minutes=log[-1]["seconds"]/60,
        grids=cfg.epochs*n_train, threads=cfg.threads or torch.get_num_threads(),
        beta_one=measured(beta_one), final=measured(log[-1]), kl_per_dim=log[-1]["val_kl_per_dim"],
        commit=commit.stdout.strip(), torch=torch.__version__, cores=os.cpu_count(), asked=" ".join(sys.argv[1:]))


def table(records):
    "Mean and spread over seeds; candidates that were trained for longer stand in lines of their own."
    rows = [["candidate", "seeds", "million grids", "minutes", "end of", *(LABELS[key].name for key in SHOWN)]]
    for name, grids in dict.fromkeys((r["candidate"], r["grids"]) for r in records):
        runs = [r for r in records if (r["candidate"], r["grids"]) == (name, grids)]
        minutes = mean(r["minutes"] for r in runs)
        for phase, label in (("beta_one", "β = 1"), ("final", f"β = {runs[0]['final']['beta']:g}")):
            figures = [format_spread([r[phase][key] for r in runs], LABELS[key].unit, 1) for key in SHOWN]
            rows.append([name, str(len(runs)), f"{grids/1e6:.2f}", f"{minutes:.1f}", label, *figures])
    return markdown_table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="*", default=["default", "reference"])
    parser.add_argument("--minutes", type=float, default=2, help="training time of each candidate and seed (default 2)")
    parser.add_argument("--epochs", type=int, help="exactly so many epochs instead")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--corpus", default="", help="corpus.npz (default: the generated one of seed 0)")
    parser.add_argument("--n-train", type=int, default=0, help="only the first training grids")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="train nothing, print the table of quality.jsonl")
    args = parser.parse_args()
    if args.table: return print(table([json.loads(line) for line in LOG.read_text(encoding="utf-8").splitlines()]))
    use_kernel_environment()
    add_variants()
    asked = make_config("default", corpus=args.corpus, n_train=args.n_train)
    corpus = open_corpus(asked, HERE.parent/"outputs"/"corpus")
    if args.threads: torch.set_num_threads(args.threads)
    configs = {candidate: settings(candidate, 0, args, corpus) for candidate in args.candidates}
    if args.epochs: epochs = dict.fromkeys(configs, args.epochs)
    else: epochs = epochs_that_fit(configs, corpus.train, 60*args.minutes)
    records = []
    for seed in args.seeds:
        for candidate, n in epochs.items():
            schedule = dict(epochs=n, patience=n, beta_mid_epoch=max(1, round(n/5)),
                            beta_final_epoch=max(2, round(n*3/5)))
            cfg = settings(candidate, seed, args, corpus).model_copy(update=schedule)
            records.append(run(candidate, cfg, len(corpus.train)))
            with LOG.open("a", encoding="utf-8") as file: file.write(json.dumps(records[-1]) + "\n")
    print(table(records))


if __name__ == "__main__": main()

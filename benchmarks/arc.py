"""Real grids beside the bars, and the worst of them by cause: `python benchmarks/arc.py [RUN]`.

Prints a row for each evaluation set, also without grids that training has seen turned, mirrored or recolored, with 95 %
intervals over tasks, and draws assets/arc-worst.png. RUN is a run folder or a checkpoint of preset `arc`, by default
the one that ships with the project.
"""
import sys
from pathlib import Path

import torch

from arc_vae import load
from arc_vae.code.network import left_out
from arc_vae.corpus.formats import arc_tasks, join_tasks
from arc_vae.data import show_grids
from arc_vae.metrics.accuracy import accuracy_report, comparable
from arc_vae.metrics.labels import markdown_table
from arc_vae.metrics.novelty import train_overlap

HERE = Path(__file__).parent
KEYS = ("exact_match", "foreground_accuracy", "pixel_accuracy")


def row(title, pred, x, tasks):
    "Shares with their intervals over tasks."
    found = accuracy_report(pred, x, tasks)
    shares = (f"{found[key]:.1%} [{', '.join(f'{end:.1%}' for end in found['intervals'][key])}]" for key in KEYS)
    return title, f"{len(x):,}", f"{len(tasks.unique()):,}", *shares, f"{found['all_background_accuracy']:.1%}"


def worst(vae, x, pred, n=12):
    "Original above reconstruction of the grids with the most wrong cells: too many objects, then unknown shapes."
    guess, black = comparable(pred, x)
    wrong = (guess != black).flatten(1).sum(1)
    crowded = left_out(vae.code, x)[0] > 0
    grids, titles = [], []
    for cause, which in {"too many objects": crowded, "unlike any entry": ~crowded}.items():
        index = (wrong*which).topk(n).indices
        grids += [x[index], pred[index]]
        titles += [f"#{i}: {wrong[i]} of {int((black[i] > 0).sum())}" for i in index.tolist()] + [cause] + [""]*(n - 1)
    return show_grids(torch.cat(grids), titles, n, 1.)


def main():
    vae = load(sys.argv[1] if len(sys.argv) > 1 else HERE/"results"/"arc-seed0.pth")
    evaluations = {version: arc_tasks("evaluation", version) for version in (1, 2)}
    known = {*evaluations[1], *evaluations[2]}
    tasks = arc_tasks("training", 1) | arc_tasks("training", 2)
    train, _ = join_tasks({name: grids for name, grids in tasks.items() if name not in known})
    rows = [("", "grids", "tasks", "exact", "colored cells", "cells", "background alone")]
    for version, tasks in evaluations.items():
        x, number = join_tasks(tasks)
        pred = vae.reconstruct(x)
        if version == 1: worst(vae, x, pred).savefig(HERE.parent/"assets"/"arc-worst.png", dpi=80)
        rows.append(row(f"AGI-{version} evaluation", pred, x, number))
        new = torch.from_numpy(~train_overlap(train, x)["relative"])
        rows.append(row("without near-copies", pred[new], x[new], number[new]))
    print(markdown_table(rows))


if __name__ == "__main__": main()

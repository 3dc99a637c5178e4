"""The tables of results, from the metrics.json of the runs that are kept in results/:

    python benchmarks/results.py                                 # README's
    python benchmarks/results.py full                            # docs/results.md's
    python benchmarks/results.py outputs/NAME default-seed0      # keep the metrics of a run, under its corpus' name
"""
import json
import sys
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).parent
BASELINES = ("test", "baselines")
RUNS = {  # what the tables call them -> files, and the part of metrics.json
    "`default`": ("default-seed*.json", ("test",)),
    "`default` as its β = 1 phase ends": ("default-seed*.json", ("phases", "end of first ramp", "test")),
    "`long`": ("long-seed*.json", ("test",)),
    "`default`, 13 numbers": ("d13-seed*.json", ("test",)),
    "`long`, 13 numbers": ("d13long-seed*.json", ("test",)),
    "nearest training grid": ("default-seed0.json", (*BASELINES, "nearest_training_grid")),
    "10 principal components": ("default-seed0.json", (*BASELINES, "principal_components")),
    "all black": ("default-seed0.json", (*BASELINES, "all_background")),
    "`default`, other corpus": ("simplified-seed*.json", ("test",)),
    "all black, other corpus": ("simplified-seed0.json", (*BASELINES, "all_background"))}
SHORT = ("`default`", "`long`", "`long`, 13 numbers", "nearest training grid", "all black")
SHARE, NATS = "{:.2f} %", "{:.2f}"


def percent(key): return lambda t: 100*t[key]
def equivariance(name): return lambda t: 100*t["operators"][name]["equivariance"]


COLUMNS = {  # heading -> a figure of that part, its form
    "cells": (percent("pixel_accuracy"), SHARE), "skill": (lambda t: t["skill"], "{:z.3f}"),
    "colored cells": (percent("foreground_accuracy"), "{:.1f} %"),
    "whole objects": (percent("object_recall"), "{:.1f} %"),
    "exact grids": (percent("exact_match"), "{:.1f} %"), "distortion": (lambda t: t["distortion"], NATS),
    "rate": (lambda t: t["rate"], NATS), "D + 2R": (lambda t: t["distortion"] + 2*t["rate"], NATS),
    "elbo": (lambda t: t["elbo"], NATS), "active units": (lambda t: t["active_units"], "{:g}"),
    "moves": (equivariance("right"), "{:.1f} %"), "turns": (equivariance("quarter_turn_by_code"), "{:.1f} %"),
    "cells changed by noise .02": (lambda t: t["noise"]["0.02"], "{:.1f}")}
FEW = ("cells", "colored cells", "exact grids", "D + 2R", "moves", "turns")


def read(pattern, keys):
    "That part of the metrics of each run."
    found = []
    for path in sorted((HERE/"results").glob(pattern)):
        part = whole = json.loads(path.read_text(encoding="utf-8"))
        for k in keys: part = part.get(k, {})
        if part: found.append(part | ({k: whole[k] for k in ("operators", "noise")} if keys == ("test",) else {}))
    return found


def cell(parts, figure, form):
    "Mean and standard deviation over seeds; empty where a part has no such figure."
    try: values = [figure(p) for p in parts]
    except KeyError: return ""
    number, unit = form.replace(" %", ""), " %" if "%" in form else ""
    spread = f" ± {number.format(stdev(values))}" if len(values) > 1 and stdev(values) else ""
    return number.format(mean(values)) + spread + unit


def table(runs=tuple(RUNS), columns=tuple(COLUMNS)):
    "One line a run, in markdown."
    lines = ["| | seeds | " + " | ".join(columns) + " |", "|---"*(len(columns) + 2) + "|"]
    for name in runs:
        if not (parts := read(*RUNS[name])): continue
        seeds = len(parts) if "distortion" in parts[0] and "black" not in name else ""
        lines.append(f"| {name} | {seeds} | " + " | ".join(cell(parts, *COLUMNS[c]) for c in columns) + " |")
    return "\n".join(lines)


def keep(run_dir, name):
    "Copy the metrics of a run to results/."
    metrics = json.loads((Path(run_dir)/"metrics.json").read_text(encoding="utf-8"))
    metrics["corpus"]["path"] = Path(metrics["corpus"]["path"]).name
    (HERE/"results"/f"{name}.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) == 3: keep(*sys.argv[1:])
    elif sys.argv[1:] == ["full"]: print(table())
    else: print(table(SHORT, FEW))

"""The README's table of results, from the metrics.json of the runs that are kept in results/:

    python benchmarks/results.py
    python benchmarks/results.py outputs/NAME default-seed0      # keep the metrics of a run, with the name of its corpus instead of the path
"""
import json
import sys
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).parent
RUNS = {  # what the table calls them -> files, and the part of metrics.json
    "`default`": ("default-seed*.json", ("test",)),
    "`default` as its β = 1 phase ends (`beta_mid.pth`)": ("default-seed*.json", ("phases", "end of first ramp", "test")),
    "`long`": ("long-seed*.json", ("test",)),
    "nearest training grid": ("default-seed0.json", ("test", "baselines", "nearest_training_grid")),
    "10 principal components": ("default-seed0.json", ("test", "baselines", "principal_components")),
    "all black": ("default-seed0.json", ("test", "baselines", "all_background")),
    "`default`, other corpus": ("simplified-seed*.json", ("test",)),
    "all black, other corpus": ("simplified-seed0.json", ("test", "baselines", "all_background"))}
SHARE, NATS = "{:.2f} %", "{:.2f}"
COLUMNS = {  # heading -> a figure of that part, its form
    "pixel accuracy": (lambda t: 100*t["pixel_accuracy"], SHARE), "skill": (lambda t: t["skill"], "{:z.3f}"), "colored cells": (lambda t: 100*t["foreground_accuracy"], "{:.1f} %"),
    "whole objects": (lambda t: 100*t["object_recall"], "{:.1f} %"), "exact grids": (lambda t: 100*t["exact_match"], "{:.1f} %"), "distortion": (lambda t: t["distortion"], NATS), "rate": (lambda t: t["rate"], NATS),
    "D + 2R": (lambda t: t["distortion"] + 2*t["rate"], NATS), "elbo": (lambda t: t["elbo"], NATS), "active units": (lambda t: t["active_units"], "{:g}")}


def read(pattern, keys):
    "That part of the metrics of each run."
    found = []
    for path in sorted((HERE/"results").glob(pattern)):
        part = json.loads(path.read_text(encoding="utf-8"))
        for k in keys: part = part.get(k, {})
        if part: found.append(part)
    return found


def cell(parts, figure, form):
    "Mean and standard deviation over seeds; empty where a part has no such figure."
    try: values = [figure(p) for p in parts]
    except KeyError: return ""
    number, unit = form.replace(" %", ""), " %" if "%" in form else ""
    return number.format(mean(values)) + (f" ± {number.format(stdev(values))}" if len(values) > 1 and stdev(values) else "") + unit


def table():
    "One line a run, in markdown."
    lines = ["| | seeds | " + " | ".join(COLUMNS) + " |", "|---"*(len(COLUMNS) + 2) + "|"]
    for name, source in RUNS.items():
        if not (parts := read(*source)): continue
        lines.append(f"| {name} | {len(parts) if 'distortion' in parts[0] and 'black' not in name else ''} | " + " | ".join(cell(parts, *c) for c in COLUMNS.values()) + " |")
    return "\n".join(lines)


def keep(run_dir, name):
    "Copy the metrics of a run to results/."
    metrics = json.loads((Path(run_dir)/"metrics.json").read_text(encoding="utf-8"))
    metrics["corpus"]["path"] = Path(metrics["corpus"]["path"]).name
    (HERE/"results"/f"{name}.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) == 3: keep(*sys.argv[1:])
    else: print(table())

"""The tables of results, from the metrics.json of the runs that are kept in results/:

    python benchmarks/results.py                                 # README's
    python benchmarks/results.py full                            # docs/results.md's
    python benchmarks/results.py outputs/NAME default-seed0      # keep the metrics of a run, under its corpus' name
"""
import json
import sys
from pathlib import Path

from arc_vae.metrics.labels import LABELS, format_spread, markdown_table

HERE = Path(__file__).parent
BASELINES = ("test", "baselines")
RUNS = {  # what the tables call them -> files, and the part of metrics.json
    "`default`": ("default-seed*.json", ("test",)),
    "`default` before training": ("default-seed*.json", ("baselines", "untrained")),
    "`default` as its β = 1 phase ends": ("default-seed*.json", ("phases", "end of first ramp", "test")),
    "`long`": ("long-seed*.json", ("test",)),
    "`default`, 11 numbers": ("d11-seed*.json", ("test",)),
    "`default`, 13 numbers": ("d13-seed*.json", ("test",)),
    "`long`, 13 numbers": ("d13long-seed*.json", ("test",)),
    "nearest training grid": ("default-seed0.json", (*BASELINES, "nearest_training_grid")),
    "10 principal components": ("default-seed0.json", (*BASELINES, "principal_components")),
    "all black": ("default-seed0.json", (*BASELINES, "all_background")),
    "`default`, other corpus": ("simplified-seed*.json", ("test",)),
    "all black, other corpus": ("simplified-seed0.json", (*BASELINES, "all_background"))}
SHORT = ("`default`", "`default` before training", "`long`", "`long`, 13 numbers", "nearest training grid", "all black")


def metric(key, decimals=None):
    "A column of a metric: heading, value in a part of metrics.json, unit, decimals."
    label = LABELS[key]
    return label.name, lambda part: part[key], label.unit, label.decimals if decimals is None else decimals


def operator(heading, name): return heading, lambda part: part["operators"][name]["equivariance"], "share", 1


OBJECTIVE = ("D + 2R", lambda part: part["distortion"] + 2*part["rate"], "nats", 2)
MOVES, TURNS = operator("moves", "right"), operator("turns", "quarter_turn_by_code")
NOISE = ("cells changed by noise .02", lambda part: part["noise"]["0.02"], "nats", 1)
CELLS, COLORED, EXACT = metric("pixel_accuracy"), metric("foreground_accuracy", 1), metric("exact_match", 1)
FEW = (CELLS, COLORED, EXACT, OBJECTIVE, MOVES, TURNS)
COLUMNS = (CELLS, metric("skill"), COLORED, metric("object_recall", 1), EXACT, metric("distortion"), metric("rate"),
           OBJECTIVE, metric("elbo"), metric("active_units"), MOVES, TURNS, NOISE)


def read(pattern, keys):
    "That part of the metrics of each run."
    found = []
    for path in sorted((HERE/"results").glob(pattern)):
        part = whole = json.loads(path.read_text(encoding="utf-8"))
        for k in keys: part = part.get(k, {})
        if part: found.append(part | ({k: whole[k] for k in ("operators", "noise")} if keys == ("test",) else {}))
    return found


def cell(parts, figure, unit, decimals):
    "Mean and standard deviation over seeds; empty where a part has no such figure."
    try: return format_spread([figure(part) for part in parts], unit, decimals)
    except KeyError: return ""


def table(runs=tuple(RUNS), columns=COLUMNS):
    "One line a run, in markdown."
    rows = [["", "seeds", *(heading for heading, *_ in columns)]]
    for name in runs:
        if not (parts := read(*RUNS[name])): continue
        seeds = len(parts) if "distortion" in parts[0] and "black" not in name else ""
        rows.append([name, str(seeds), *(cell(parts, *column) for _, *column in columns)])
    return markdown_table(rows)


def keep(run_dir, name):
    "Copy the metrics of a run to results/."
    metrics = json.loads((Path(run_dir)/"metrics.json").read_text(encoding="utf-8"))
    metrics["corpus"]["path"] = Path(metrics["corpus"]["path"]).name
    (HERE/"results"/f"{name}.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) == 3: keep(*sys.argv[1:])
    elif sys.argv[1:] == ["full"]: print(table())
    else: print(table(SHORT, FEW))

"What Weights & Biases really has of an offline run: its file of records, read with W&B's own `wandb leet inspect --json`."
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace


def nested(item):
    "Undo the dotted names of pictures and histograms, and drop W&B's own entries: {'val/mu.bins': b, '_step': 3} -> {'val/mu': {'bins': b}}"
    out = {}
    for name, value in item.items():
        head, dot, tail = name.partition(".")
        if not head.startswith("_"): out.setdefault(head, {}).update({tail: value}) if dot else out.update({head: value})
    return out


def records(file):
    "All records of one run file in order, as (kind, content); a NaN comes as the string 'NaN'"
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return [(r["type"], r[r["type"]]) for r in map(json.loads, lines)]


def wandb_files(run_dir):
    "The files of all offline W&B runs below a run's folder, oldest first"
    return sorted(Path(run_dir).glob("wandb/offline-run-*/run-*.wandb"), key=lambda f: f.stat().st_mtime_ns)


def read_run(file):
    "One run file as id, name, job, config, history (one dict a call of log), axes, summary, artifacts, files (on disk) and exit_code (None: never finished)"
    run = SimpleNamespace(id=None, name=None, job=None, config={}, history=[], axes={}, summary={}, artifacts=[], files=[], exit_code=None)
    for kind, r in records(file):
        if kind == "run":
            run.id, run.name, run.job = r["run_id"], r.get("display_name"), r.get("job_type")
            run.config |= nested(r.get("config", {}).get("update", {}))
        elif kind == "history": run.history.append(nested(r["item"]))
        elif kind == "metric": run.axes[r.get("name") or r["glob_name"]] = r.get("step_metric")
        elif kind == "summary": run.summary |= nested(r.get("update", {}))
        elif kind == "files": run.files += [Path(file).parent/"files"/f["path"] for f in r["files"]]
        elif kind == "exit": run.exit_code = r.get("exit_code", 0)
        elif kind == "artifact":
            run.artifacts.append(SimpleNamespace(name=r["name"], type=r["type"], aliases=sorted(r["aliases"]), metadata=json.loads(r.get("metadata") or "{}"),
                                                 files=[c["path"] for c in r["manifest"]["contents"]]))
    return run


def read_runs(run_dir):
    "All W&B runs below a run's folder, oldest first"
    return [read_run(f) for f in wandb_files(run_dir)]

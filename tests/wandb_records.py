"What W&B has of an offline run: its file of records, read with W&B's own `wandb leet inspect --json`."
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace


def nested(item):
    "{'val/mu.bins': b, '_step': 3} -> {'val/mu': {'bins': b}}: pictures and histograms whole, W&B's entries left out."
    out = {}
    for name, value in item.items():
        head, dot, tail = name.partition(".")
        if head.startswith("_"): continue
        if dot: out.setdefault(head, {})[tail] = value
        else: out[head] = value
    return out


def records(file):
    "All records of one run file in order, as (kind, content); a NaN comes as the string 'NaN'."
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    parsed = map(json.loads, done.stdout.splitlines())
    return [(record["type"], record[record["type"]]) for record in parsed]


def wandb_files(run_dir):
    "The files of all offline W&B runs below a run's folder, oldest first."
    files = Path(run_dir).glob("wandb/offline-run-*/run-*.wandb")
    return sorted(files, key=lambda file: file.stat().st_mtime_ns)


def read_run(file):
    "One run file: id, name, job, history (a dict a call of log), axes, summary, artifacts, files and exit_code."
    run = SimpleNamespace(id=None, name=None, job=None, project=None, group=None, tags=[], config={}, history=[],
                          axes={}, summary={}, artifacts=[], files=[], exit_code=None)  # no exit code: never finished
    for kind, record in records(file):
        if kind == "run":
            run.id, run.name, run.job = record["run_id"], record.get("display_name"), record.get("job_type")
            run.project, run.group = record.get("project"), record.get("run_group")
            run.tags = record.get("tags", [])
            run.config |= nested(record.get("config", {}).get("update", {}))
        elif kind == "history": run.history.append(nested(record["item"]))
        elif kind == "metric": run.axes[record.get("name") or record["glob_name"]] = record.get("step_metric")
        elif kind == "summary": run.summary |= nested(record.get("update", {}))
        elif kind == "files": run.files += [Path(file).parent/"files"/entry["path"] for entry in record["files"]]
        elif kind == "exit": run.exit_code = record.get("exit_code", 0)
        elif kind == "artifact":
            run.artifacts.append(SimpleNamespace(
                name=record["name"], type=record["type"], aliases=sorted(record["aliases"]),
                metadata=json.loads(record.get("metadata") or "{}"),
                files=[entry["path"] for entry in record["manifest"]["contents"]]))
    return run


def read_runs(run_dir):
    "All W&B runs below a run's folder, oldest first."
    return [read_run(file) for file in wandb_files(run_dir)]

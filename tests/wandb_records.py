"What W&B really has of an offline run: its file of records, read with W&B's own `wandb leet inspect --json`."
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace


def nested(item):
    """Undo the dotted names of pictures and histograms, and drop W&B's own entries.

    {'val/mu.bins': b, '_step': 3} -> {'val/mu': {'bins': b}}
    """
    out = {}
    for name, value in item.items():
        head, dot, tail = name.partition(".")
        if head.startswith("_"): continue
        if dot: out.setdefault(head, {})[tail] = value
        else: out[head] = value
    return out


def records(file):
    "All records of one run file in order, as (kind, content); a NaN comes as the string 'NaN'"
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = []
    for line in done.stdout.splitlines():
        record = json.loads(line)
        found.append((record["type"], record[record["type"]]))
    return found


def wandb_files(run_dir):
    "The files of all offline W&B runs below a run's folder, oldest first"
    files = Path(run_dir).glob("wandb/offline-run-*/run-*.wandb")
    return sorted(files, key=lambda file: file.stat().st_mtime_ns)


def empty_run():
    "A run of which nothing is known yet"
    return SimpleNamespace(
        id=None,
        name=None,
        job=None,
        group=None,
        tags=[],
        config={},
        history=[],  # one dict a call of log
        axes={},
        summary={},
        artifacts=[],
        files=[],  # on disk
        exit_code=None,  # never finished
    )


def logged_artifact(record):
    return SimpleNamespace(
        name=record["name"],
        type=record["type"],
        aliases=sorted(record["aliases"]),
        metadata=json.loads(record.get("metadata") or "{}"),
        files=[entry["path"] for entry in record["manifest"]["contents"]],
    )


def read_run(file):
    "One run file as id, name, job, config, history, axes, summary, artifacts, files and exit_code"
    run = empty_run()
    for kind, record in records(file):
        if kind == "run":
            run.id = record["run_id"]
            run.name = record.get("display_name")
            run.job = record.get("job_type")
            run.group = record.get("run_group")
            run.tags = record.get("tags", [])
            run.config |= nested(record.get("config", {}).get("update", {}))
        elif kind == "history":
            run.history.append(nested(record["item"]))
        elif kind == "metric":
            run.axes[record.get("name") or record["glob_name"]] = record.get("step_metric")
        elif kind == "summary":
            run.summary |= nested(record.get("update", {}))
        elif kind == "files":
            run.files += [Path(file).parent/"files"/entry["path"] for entry in record["files"]]
        elif kind == "exit":
            run.exit_code = record.get("exit_code", 0)
        elif kind == "artifact":
            run.artifacts.append(logged_artifact(record))
    return run


def read_runs(run_dir):
    "All W&B runs below a run's folder, oldest first"
    return [read_run(file) for file in wandb_files(run_dir)]

"""Two processes that train together, under the real torchrun and gloo: the same training, and nothing lost when one of them is. Once through the command line and papermill, else straight from Python."""
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from conftest import BIN, ROOT, command
from crashing import everything_opens

SETTINGS = dict(n_corpus=1000, batch_size=50, epochs=3, threads=1, save_minutes=0, wandb="disabled")
CODE = """
import json, sys
from pathlib import Path
from arc_vae.train import make_config, resumed_config, train
run, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
resume = (run/"config.json").exists()
try: train(resumed_config(run) if resume else make_config("tiny", **settings), run, resume=resume, say=lambda line: print(line, flush=True))
except Exception as e: raise SystemExit(f"{type(e).__name__}: {e}")
"""


def read(path): return json.loads(path.read_text())


def log(run): return [json.loads(line) for line in (run/"log.jsonl").read_text().splitlines()]


def job(run, **settings):
    "A training under way, or one that goes on."
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", CODE, str(run), json.dumps(SETTINGS | settings)], env=os.environ | dict(PYTHONPATH=str(ROOT)), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def ended(process, code=0):
    said, _ = process.communicate(timeout=300)
    assert process.returncode == code and "Traceback" not in said, said
    return said


# The reference network is smooth, so that another order of adding moves it little in 48 steps. The object code chooses shapes from a list: where two are as good, a last bit decides, and the weights part for good.
@pytest.mark.parametrize("network, near", [("reference", 1e-3), ("objects_small", 2e-2)])
def test_two_processes_train_the_same_model(tmp_path, network, near):
    runs = [tmp_path/"alone", tmp_path/"two"]
    for n, run in enumerate(runs, 1): assert ("on cpu with 2 processes" in ended(job(run, processes=n, network=network))) == (n == 2)
    assert [read(run/"training.json")["processes"] for run in runs] == [torch.load(run/"checkpoints"/"last.pth", weights_only=True)["processes"] for run in runs] == [1, 2]
    alone, two = runs
    assert read(two/"training.json")["status"] == "completed" and not list(two.rglob("*.part")) and len(log(two)) == len(log(alone)) == 3
    for a, b in zip(log(two), log(alone)):
        for key in ("train_distortion", "train_rate", "val_distortion", "val_rate", "val_pixel_accuracy"): assert a[key] == pytest.approx(b[key], rel=near), key
    if network == "reference":
        a, b = (torch.load(r/"checkpoints"/"vae_best.pth", weights_only=True)["state_dict"] for r in runs)
        assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-3


def in_its_second_epoch(process, run):
    "Wait for it; the processes by rank."
    while process.poll() is None and not ((run/"log.jsonl").exists() and (run/"log.jsonl").read_text()): time.sleep(.02)
    ranks = {p.environ()["RANK"]: p for p in psutil.Process(process.pid).children(recursive=True) if "arc_vae.processes" in " ".join(p.cmdline()) and "--no-python" not in p.cmdline()}
    assert set(ranks) == {"0", "1"}
    return ranks


def goes_on(run, epochs, resume):
    "What was interrupted trains the epochs that are left."
    assert read(run/"training.json")["status"] == "interrupted"
    before = len(log(run)); everything_opens(run)
    said = resume()
    assert read(run/"training.json")["status"] == "completed" and len(log(run)) == epochs and said.count("\nepoch") == epochs - before, said


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_lost_process_ends_the_job_and_it_goes_on(tmp_path, rank):
    run = tmp_path/"run"; process = job(run, processes=2, epochs=8)
    ranks = in_its_second_epoch(process, run)
    ranks[rank].kill()
    assert ended(process, 1).splitlines()[-1].startswith("JobError: another process of this training is gone")
    assert psutil.wait_procs(ranks.values(), timeout=30)[1] == [], "none goes on alone"
    goes_on(run, 8, lambda: ended(job(run)))


def test_no_process_outlives_its_starter(tmp_path):
    run = tmp_path/"run"; process = job(run, processes=2, epochs=8)
    ranks = in_its_second_epoch(process, run)
    process.kill(); process.wait()
    assert psutil.wait_procs(ranks.values(), timeout=60)[1] == []
    goes_on(run, 8, lambda: ended(job(run)))


def test_from_the_command_line_through_papermill(tmp_path):
    words = [BIN/"arc-vae", "train", "--preset", "tiny", *(w for k, v in (SETTINGS | dict(epochs=8)).items() for w in ("--set", f"{k}={v}")), "--processes", "2", "--run", "a"]
    process = subprocess.Popen([str(w) for w in words], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT); run = tmp_path/"outputs"/"a"
    ranks = in_its_second_epoch(process, run)
    process.send_signal(signal.SIGTERM)
    assert "the state is saved, --resume goes on from here" in ended(process, 143)
    assert psutil.wait_procs(ranks.values(), timeout=30)[1] == []
    goes_on(run, 8, lambda: command("arc-vae", "train", "--resume", "a", cwd=tmp_path).stdout)


def test_what_goes_wrong_inside_is_said_outside(tmp_path):
    said = ended(job(tmp_path/"run", processes=2, lr=1e30, grad_clip=1e30), 1)
    assert "the last good checkpoint is kept" in said.splitlines()[-1] and read(tmp_path/"run"/"training.json")["status"] == "diverged"

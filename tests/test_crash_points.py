"""Runs that die at every file they write and at chosen steps, run out of disk, or lose their folder or W&B.

What was whole stays whole, and going on gives the very same weights.
"""
import json
import shutil

import pytest
from conftest import contents
from crashing import begin, everything_opens, same, trained, whole

# Stops early, whenever two epochs bring nothing
PATIENT = dict(epochs=20, beta_mid_epoch=2, beta_final_epoch=4, patience=2, lr=.1)


@pytest.fixture(scope="module")
def place(tmp_path_factory): return tmp_path_factory.mktemp("crash points")


@pytest.fixture(scope="module")
def alone(place):
    trained(place/"alone"/"run")
    return place/"alone"/"run"


@pytest.fixture(scope="module")
def patient(place):
    result = trained(place/"patient"/"run", **PATIENT)
    assert result["status"] == "early_stopped"
    assert result["epochs"] == result["best_epoch"] + 2 > 6
    return place/"patient"/"run"


def test_killed_at_every_rename(place, alone):
    "Before each of them, which is after the one before it, until there is none left; and after the last."
    def killed(how, number):
        run = place/f"{how}{number}"/"run"
        dead = trained(run, how, number) is None
        if dead:
            everything_opens(run)
            assert trained(run)["status"] == "completed"
        assert same(alone, run) and whole(run), f"{how} rename {number}"
        shutil.rmtree(run.parent)
        return dead
    number = next(number for number in range(100) if not killed("before", number))
    assert number > 12 and killed("after", number - 1), f"a run renames more than {number} files"


STOPS = dict(  # name -> steps, counted from where each process began, given the best epoch; an epoch has five
    again_and_again=lambda best: (0, 8, 0, 5, 9),
    in_patience=lambda best: (5*best + 2, 6, 2))


@pytest.mark.parametrize("stop", STOPS)
def test_killed_at_steps(place, patient, stop):
    run = place/stop/"run"
    best = json.loads((patient/"training.json").read_text())["best_epoch"]
    for step in STOPS[stop](best):
        changes = {} if (run/"config.json").exists() else PATIENT
        assert trained(run, "step", step, **changes) is None
    assert trained(run)["status"] == "early_stopped"
    assert same(patient, run)
    assert whole(run)


def test_two_writers(place, alone):
    run = place/"two"/"run"
    first, _ = begin(run, "wait", 3)
    while not (run/"training.json").exists(): assert first.is_alive()
    before = contents(run)
    error = trained(run)["error"]
    assert "RunError" in error and "another process" in error
    assert contents(run) == before
    first.kill()
    first.join()
    trained(run)
    assert same(alone, run), "a writer that was killed holds nothing"


@pytest.mark.parametrize("how", ["disk full", "folder gone"])
def test_nowhere_to_write(place, alone, how):
    run = place/how/"run"
    error = trained(run, how, 7)["error"]
    assert "Error" in error and str(run) in error, error
    if how == "folder gone":
        assert "No such file" in error, error
        assert not run.exists(), "a folder that was removed is not made again"
        return
    assert "File too large" in error, error
    trained(run)
    assert same(alone, run) and whole(run)


def test_a_broken_state(place, alone):
    run = place/"broken"/"run"
    shutil.copytree(alone, run)
    last = run/"checkpoints"/"last.pth"
    state = bytearray(last.read_bytes())
    state[len(state)//2] ^= 1  # one bit
    last.write_bytes(state)
    before = contents(run)
    assert f"CheckpointError: {last}" in trained(run)["error"]
    assert contents(run) == before
    last.unlink()
    assert "no such checkpoint" in trained(run)["error"], "a run that had begun does not silently begin again"
    assert (run/"log.jsonl").read_text()


def test_pictures_do_not_change_the_weights(place, alone):
    trained(place/"pictures"/"run", wandb="offline", wandb_every=1)
    assert same(alone, place/"pictures"/"run")


@pytest.mark.parametrize("how,mode", [
    ("absent", "online"), ("black_hole", "auto"), ("black_hole", "online"), ("raises", "offline"),
    ("never_finishes", "offline")])
def test_weights_do_not_depend_on_wandb(place, alone, how, mode):
    run = place/f"{how} {mode}"/"run"
    result = trained(run, how, wandb=mode)
    assert same(alone, run) and whole(run)
    asked_for = (how, mode) != ("black_hole", "auto")
    assert result["printed"].count("W&B") == asked_for, "one line, unless it was never asked for"
    assert result["started"] < 12, "a second or two without Weights & Biases, ten seconds more at most with it"


def test_a_signal_does_not_wait_for_wandb(place, alone):
    run = place/"signal"/"run"
    result = trained(run, "and_a_signal", wandb="offline")
    assert "Interrupted: SIGTERM in epoch 2, step 3" in result["error"]
    assert "--resume goes on from epoch 2" in result["error"]
    assert result["seconds"] < 10 + result["started"]
    assert trained(run, wandb="disabled")["status"] == "completed"
    assert same(alone, run)

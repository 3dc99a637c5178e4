"The tracker's promises: W&B got what was sent, and nothing that W&B does or fails to do reaches the work inside."
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import psutil
import pytest
import wandb
from click.testing import CliRunner
from PIL import Image
from wandb_records import read_run, read_runs, wandb_files

from arc_vae.infra import tracking
from arc_vae.infra.runs import ConfigError
from arc_vae.infra.tracking import Tracker, call_with_timeout, wandb_mode

KEY = "0"*40


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    "A user without key, settings and proxy; anything left behind in environment or exit hooks fails the test."
    for name in list(os.environ):
        if name.startswith("WANDB_") or name.lower().endswith("_proxy"): monkeypatch.delenv(name)
    (tmp_path/"home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path/"home"))
    monkeypatch.delenv("NETRC", raising=False)
    before = sys.exit, sys.excepthook
    yield
    assert (sys.exit, sys.excepthook) == before
    assert "WANDB_SERVICE" not in os.environ and "WANDB_CACHE_DIR" not in os.environ


@pytest.fixture
def black_hole(monkeypatch):
    "A server that accepts connections and never answers."
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.fixture
def answering(monkeypatch):
    "A server that W&B is told of, its address, and the status that it answers with."
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_): pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("WANDB_BASE_URL", url)
    yield url, status
    server.shutdown()


def complaints(capsys):
    "The lines that were printed because W&B failed."
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B failed")]


def use(tracker):
    "Every method, twice."
    for _ in range(2):
        tracker.log({"train/objective": 1.0, "step": 1})
        tracker.images("val/x", np.zeros((4, 4, 3), np.uint8))
        tracker.histogram("val/mu", np.ones(3))
        tracker.summary({"x": 1})
        tracker.artifact("m", [])
    return True


def test_offline_run_reads_back(tmp_path, capsys):
    run_dir, environment = tmp_path/"a run", dict(os.environ)
    colors = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    with Tracker(run_dir, {"latent_dim": 10, "schedule": {"beta": 0.5}}, mode="offline") as t:
        for step in range(3): t.log({"train/objective": 1/(1 + step), "step": 10*step})
        t.log({"val/elbo": -25.5, "beta": 0.5, "epoch": 4})
        t.log({"train/objective": float("nan"), "step": 30})
        t.images("val/both", list(colors))
        t.histogram("val/mu", np.array([0.0, 1.0, 1.0, float("inf"), float("nan")]))
        (run_dir/"vae_best.pth").write_bytes(b"tensors")
        t.artifact("vae", [run_dir/"vae_best.pth"], ["best"], {"epoch": 4})
        t.summary({"test/pixel_accuracy": 0.97})
    assert capsys.readouterr().out == ""
    assert (t.mode, dict(os.environ)) == ("offline", environment)

    [file] = wandb_files(run_dir)
    run = read_run(file)
    assert (run.id, run.name, run.job, run.exit_code) == (t.id, "a run", "train", 0)
    assert run.config == {"latent_dim": 10, "schedule": {"beta": 0.5}}
    assert run.axes == {"train/*": "step", "val/*": "epoch", "beta": "epoch"}
    assert run.history[:5] == [
        {"train/objective": 1, "step": 0},
        {"train/objective": 1/2, "step": 10},
        {"train/objective": 1/3, "step": 20},
        {"val/elbo": -25.5, "beta": 0.5, "epoch": 4},
        {"train/objective": "NaN", "step": 30},
    ]
    images, histogram = run.history[5:]
    assert [row["epoch"] for row in (images, histogram)] == [4]*2  # filled in by W&B
    names = images["val/both"]["filenames"]
    assert np.array_equal([np.asarray(Image.open(file.parent/"files"/name)) for name in names], colors)
    assert sum(histogram["val/mu"]["values"]) == 3
    [model] = run.artifacts
    assert (model.name, model.files) == ("vae", ["vae_best.pth"])
    assert (model.aliases, model.metadata) == (["best", "latest"], {"epoch": 4})
    assert (run.summary["test/pixel_accuracy"], run.summary["val/elbo"]) == (0.97, -25.5)

    assert all(f.exists() for f in run.files)
    assert not list((tmp_path/"home").rglob("*")), "nothing outside the run"
    assert {path.name for path in tmp_path.iterdir()} == {"home", "a run"}
    assert {path.name for path in run_dir.iterdir()} == {"wandb", "vae_best.pth"}


def test_two_runs_at_once_share_no_folder(tmp_path):
    with Tracker(tmp_path/"outer", {}, mode="offline") as outer:
        with Tracker(tmp_path/"inner", {}, mode="offline") as inner: inner.log({"val/elbo": -1, "epoch": 0})
        assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path/"outer/wandb/cache")
        outer.log({"val/elbo": -2, "epoch": 0})
    [one], [two] = read_runs(tmp_path/"outer"), read_runs(tmp_path/"inner")
    assert [row["val/elbo"] for row in one.history] == [-2], "the inner run's end did not end the outer one"
    assert (one.exit_code, one.id, two.id) == (0, outer.id, inner.id)


def test_an_error_inside_passes_through_and_fails_the_run(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt, match="Ctrl-C"), Tracker(tmp_path/"run", {}, mode="offline"):
        raise KeyboardInterrupt("Ctrl-C")
    assert capsys.readouterr() == ("", "")
    assert read_runs(tmp_path/"run")[0].exit_code == 1


@pytest.mark.parametrize("asked, variable, key, status, mode", [
    ("auto", None, False, 200, "offline"),     # no key
    ("auto", None, True, 200, "online"),
    ("auto", None, True, 404, "online"),       # somebody is there
    ("auto", None, True, 503, "offline"),      # a proxy says that nobody is
    ("auto", "Disabled", True, 200, "disabled"),
    ("auto", "OFFLINE", True, 200, "offline"),
    ("online", "disabled", False, 503, "online"),
    ("offline", None, True, 200, "offline"),
    ("disabled", "online", True, 200, "disabled"),
])
def test_modes(monkeypatch, answering, asked, variable, key, status, mode):
    answering[1][0] = status
    if key: monkeypatch.setenv("WANDB_API_KEY", KEY)
    if variable: monkeypatch.setenv("WANDB_MODE", variable)
    assert wandb_mode(asked) == mode


def test_keys_and_modes_are_found_where_wandb_leaves_them(tmp_path, monkeypatch, answering):
    netrc = tmp_path/"home"/".netrc"
    netrc.write_text(f"machine {answering[0].removeprefix('http://')} login user password {KEY}\n")
    netrc.chmod(0o600)
    assert wandb_mode() == "online"
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))  # as the command line tells a kernel, which works elsewhere
    for word in ("offline", "disabled"):
        command = [sys.executable, "-m", "wandb", word]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
        assert wandb_mode() == word
    assert wandb_mode("online") == "online", "an explicit mode comes first"
    (tmp_path/"wandb"/"settings").write_text("[default]\nproject = grids\nentity = somebody\n")
    with Tracker(tmp_path/"run", {}, mode="offline"): pass
    assert read_runs(tmp_path/"run")[0].project == "grids"


def test_an_unknown_mode_ends_before_anything_is_written(tmp_path, monkeypatch):
    from arc_vae.apps.cli import main
    with pytest.raises(ConfigError, match="auto, online, offline, disabled, found 'onlin', did you mean 'online'"):
        wandb_mode("onlin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offlin")
    with pytest.raises(ConfigError, match="did you mean 'offline'"), Tracker(tmp_path/"run", {}): pass
    told = CliRunner().invoke(main, ["train", "--preset", "tiny", "--set", "wandb=auto", "--run", "r"])
    assert told.exit_code == 1
    assert told.output.startswith("Error: WANDB_MODE: expected one of auto, online, ")
    assert list(tmp_path.iterdir()) == [tmp_path/"home"]


# When it breaks

@pytest.mark.parametrize("name", ["init", "Run.log", "Image", "Run.log_artifact", "Run.finish", "teardown"])
def test_an_error_of_wandb_costs_one_line(tmp_path, monkeypatch, capsys, name):
    def fail(*_, **__): raise SystemExit(3) if name == "teardown" else RuntimeError("out\nof order")
    with monkeypatch.context() as m:
        m.setattr(wandb.Run if name.startswith("Run.") else wandb, name.removeprefix("Run."), fail)
        with Tracker(tmp_path/"run", {}, mode="offline") as t: done = use(t)
    wandb.teardown()
    assert done and t.mode == "disabled"
    words = "SystemExit: 3" if name == "teardown" else "RuntimeError: out of order"
    assert complaints(capsys) == [f"W&B failed ({words}): training goes on without it"]


def test_a_service_that_dies_costs_one_line(tmp_path, capsys):
    with Tracker(tmp_path/"run", {}, mode="offline") as t:
        services = [process for process in psutil.Process().children() if process.name() == "wandb-core"]
        for service in services: service.kill()
        done = [use(t) for _ in range(100)]
    assert services and all(done) and t.mode == "disabled"
    assert len(complaints(capsys)) == 1
    with Tracker(tmp_path/"next", {}, mode="offline") as t: use(t)
    assert t.mode == "offline"


def test_a_finish_that_hangs_is_left_behind(tmp_path, monkeypatch, capsys):
    woken, finish = threading.Event(), wandb.Run.finish
    def hang(run, exit_code=None):
        woken.wait(30)
        finish(run, exit_code)
    with monkeypatch.context() as m:
        m.setattr(wandb.Run, "finish", hang)
        m.setattr(tracking, "call_with_timeout", lambda seconds, call: call_with_timeout(.5, call))
        with Tracker(tmp_path/"run", {}, mode="offline") as t: use(t)
    woken.set()
    [line] = complaints(capsys)
    assert "TimeoutError" in line and t.mode == "disabled"
    deadline = time.perf_counter() + 10  # let the thread that was left behind end before the next test
    while wandb.sdk.wandb_setup._singleton and time.perf_counter() < deadline: time.sleep(.02)


@pytest.mark.parametrize("key, words", [(KEY, "W&B failed"), ("", "run `wandb login`")])
def test_online_without_answer_or_key_costs_one_line(tmp_path, monkeypatch, capsys, black_hole, key, words):
    monkeypatch.setenv("WANDB_API_KEY", key)
    assert wandb_mode(timeout=.5) == "offline"
    monkeypatch.setattr(tracking, "START_SECONDS", 1)
    with Tracker(tmp_path/"run", {}, mode="online") as t: done = use(t)
    assert done and t.mode == "disabled"
    [line] = complaints(capsys)
    assert words in line


def test_disabled_or_not_installed_does_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wandb, "init", None)
    with Tracker(tmp_path/"run", {}, mode="disabled", run_id="abc") as t: done = use(t)
    assert done and t.id == "abc"
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with Tracker(tmp_path/"run", {}) as t: done = use(t)
    assert done and t.mode == "disabled"
    assert capsys.readouterr().out == "W&B is off: the package wandb is not installed\n"
    assert not (tmp_path/"run").exists()

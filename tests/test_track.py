"The tracker's promises: what W&B got is what was sent, and nothing that W&B does or fails to do reaches the work inside."
import importlib.util
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import psutil
import pytest
import torch
import wandb
from PIL import Image
from wandb_records import read_run, read_runs, wandb_files

from arc_vae import track
from arc_vae.track import PUBLIC, Tracker, wandb_mode, wandb_server, within

KEY = "0"*40


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    "A user without key, settings and proxy; whatever a test leaves behind in environment or exit hooks fails it"
    for name in [k for k in os.environ if k.startswith("WANDB_") or k.lower().endswith("_proxy")]: monkeypatch.delenv(name)
    (tmp_path/"home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path/"home"))
    monkeypatch.delenv("NETRC", raising=False)
    before = sys.exit, sys.excepthook
    yield
    assert (sys.exit, sys.excepthook) == before
    assert "WANDB_SERVICE" not in os.environ and "WANDB_DIR" not in os.environ


@pytest.fixture
def black_hole(monkeypatch):
    "A server that accepts the connection and never says a word, and a key for it"
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (BaseHTTPRequestHandler,), {"log_message": lambda *_: None, **handler}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def complaints(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B failed")]


# What is sent arrives

def test_offline_run_reads_back(tmp_path, capsys):
    os.environ["MINE"] = "before"
    before, run_dir = {**os.environ, "MINE": "inside"}, tmp_path/"a run"
    colors = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    with Tracker(run_dir, {"latent_dim": 10, "schedule": {"beta": 0.5}}, mode="offline") as t:
        os.environ["MINE"] = "inside"
        for step in range(3): t.log({"train/objective": 1/(1 + step), "step": 10*step})
        t.log({"val/elbo": -25.5, "beta": 0.5, "epoch": 4})
        t.log({"train/objective": float("nan"), "step": 30})
        t.images("val/one", colors[0])
        t.images("val/both", list(colors))
        t.histogram("val/mu", torch.tensor([0.0, 1.0, 1.0, float("inf"), float("nan")], requires_grad=True))
        t.histogram("val/nothing", np.empty((0, 10)))
        (run_dir/"vae_best.pth").write_bytes(b"tensors")
        t.artifact("vae", [run_dir/"vae_best.pth"], ["best"], {"epoch": 4})
        t.summary({"test/pixel_accuracy": 0.97})
    assert capsys.readouterr().out == "" and t.mode == "offline"
    assert os.environ == before
    del os.environ["MINE"]

    [file] = wandb_files(run_dir)
    run = read_run(file)
    assert str(file.parent) == t.url_or_dir and run.id == t.id and run.name == "a run" and run.job == "train" and run.exit_code == 0
    assert run.config == {"latent_dim": 10, "schedule": {"beta": 0.5}}
    assert run.history[:5] == [{"train/objective": 1, "step": 0}, {"train/objective": 1/2, "step": 10}, {"train/objective": 1/3, "step": 20},
                               {"val/elbo": -25.5, "beta": 0.5, "epoch": 4}, {"train/objective": "NaN", "step": 30}]
    assert run.axes == {"train/*": "step", "val/*": "epoch", "beta": "epoch"}
    assert [h["epoch"] for h in run.history[5:]] == [4]*4
    stored = [np.asarray(Image.open(file.parent/"files"/f)) for h in run.history[5:7] for k in h if k != "epoch" for f in h[k]["filenames"]]
    assert np.array_equal(stored, colors[[0, 0, 1]])
    assert run.history[7]["val/mu"]["_type"] == "histogram" and sum(run.history[7]["val/mu"]["values"]) == 3
    assert sum(run.history[8]["val/nothing"]["values"]) == 0
    [model] = run.artifacts
    assert (model.name, model.type, model.aliases, model.metadata, model.files) == ("vae", "model", ["best", "latest"], {"epoch": 4}, ["vae_best.pth"])
    assert run.summary["test/pixel_accuracy"] == 0.97 and run.summary["val/elbo"] == -25.5
    assert all(f.exists() for f in run.files)
    assert not list((tmp_path/"home").rglob("*"))                                   # nothing outside the run
    assert {p.name for p in tmp_path.iterdir()} == {"home", "a run"} and {p.name for p in run_dir.iterdir()} == {"wandb", "vae_best.pth"}


def test_evaluation_continues_the_run(tmp_path):
    with Tracker(tmp_path/"run", {"a": 1}, mode="offline") as first: first.log({"val/elbo": -2, "epoch": 0})
    with Tracker(tmp_path/"run", {}, mode="offline", job="evaluate", run_id=first.id) as second: second.summary({"test/elbo": -1})
    old, new = wandb_files(tmp_path/"run")
    run = read_run(new)
    assert (run.id, run.job, run.summary["test/elbo"]) == (first.id, "evaluate", -1) == (second.id, "evaluate", -1)
    assert [str(f.parent) for f in (old, new)] == [first.url_or_dir, second.url_or_dir] and old.stem == new.stem == f"run-{first.id}"


def test_two_runs_at_once_share_no_folder(tmp_path):
    with Tracker(tmp_path/"outer", {}, mode="offline") as outer:
        with Tracker(tmp_path/"inner", {}, mode="offline") as inner:
            assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path/"inner/wandb/cache")
            inner.log({"val/elbo": -1, "epoch": 0})
        assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path/"outer/wandb/cache")
        outer.log({"val/elbo": -2, "epoch": 0})
    [one], [two] = read_runs(tmp_path/"outer"), wandb_files(tmp_path/"inner")
    assert [h["val/elbo"] for h in one.history] == [-2] and one.exit_code == 0      # the inner run's end did not end the outer one
    assert (one.id, str(two.parent)) == (outer.id, inner.url_or_dir) and inner.id != outer.id


def test_an_error_inside_passes_through_and_fails_the_run(tmp_path, capsys):
    error = KeyboardInterrupt("Ctrl-C")
    with pytest.raises(KeyboardInterrupt) as caught, Tracker(tmp_path/"run", {}, mode="offline"): raise error
    assert caught.value is error and capsys.readouterr() == ("", "")
    assert read_runs(tmp_path/"run")[0].exit_code == 1


# Which mode

def test_a_server_that_never_answers_costs_three_seconds(black_hole):
    start = time.perf_counter()
    assert wandb_mode() == "offline"
    assert 2.5 < time.perf_counter() - start < 4.5


def test_the_time_limit_is_for_everything(monkeypatch):
    def drip(self):
        try:
            for c in b"HTTP/1.1 200 OK\r\nX: " + b"x"*1000: self.wfile.write(bytes([c])); self.wfile.flush(); time.sleep(.05)
        except OSError: pass
    server, url = serve({"do_HEAD": drip})
    start = time.perf_counter()
    assert not track.answers(url, .5) and time.perf_counter() - start < 2
    server.shutdown()


def test_online_needs_a_key_and_a_server(tmp_path, monkeypatch):
    status = [200]
    def head(self): self.send_response(status[0]); self.end_headers()
    server, url = serve({"do_HEAD": head})
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    for status[0], expected in (200, "online"), (404, "online"), (503, "offline"): assert wandb_mode() == expected
    status[0] = 200
    assert wandb_mode("offline") == "offline" and wandb_mode("disabled") == "disabled"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled" and wandb_mode("online") == "online"
    monkeypatch.delenv("WANDB_MODE"); monkeypatch.delenv("WANDB_API_KEY")

    home, address = tmp_path/"home", url.removeprefix("http://")
    (home/".netrc").write_text(f"machine {address} login user password {KEY}\n"); (home/".netrc").chmod(0o600)
    assert wandb_mode() == "online"
    (home/".netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert wandb_mode() == "offline"                                                # a key for another server
    monkeypatch.delenv("WANDB_BASE_URL")
    assert wandb_server() == (PUBLIC[0], True)
    (home/".netrc").unlink(); (home/".config/wandb").mkdir(parents=True)
    (home/".config/wandb/settings").write_text(f"[default]\nbase_url = {url}\napi_key = {KEY}\n")
    assert wandb_server() == (url, True) and wandb_mode() == "online"
    server.shutdown(); server.server_close()
    assert wandb_mode() == "offline"


def test_the_public_server_is_the_one_of_the_package():
    assert PUBLIC[0] == wandb.Settings().base_url


def test_an_unknown_mode_names_the_nearest(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="auto, online, offline, disabled, found 'onlin', did you mean 'online'"): wandb_mode("onlin")
    monkeypatch.setenv("WANDB_MODE", "offlin")
    with pytest.raises(ValueError, match="did you mean 'offline'"), Tracker(tmp_path/"run", {}): pass
    assert not (tmp_path/"run").exists()


# When it breaks

def use(tracker):
    "Every method once, twice"
    for _ in range(2):
        tracker.log({"train/objective": 1.0, "step": 1})
        tracker.images("val/x", np.zeros((4, 4, 3), np.uint8))
        tracker.histogram("val/mu", np.ones(3))
        tracker.summary({"x": 1})
        tracker.artifact("m", [])
    return True


@pytest.mark.parametrize("name", ["init", "Run.log", "Run.define_metric", "Image", "Histogram", "Run.log_artifact", "Run.finish", "teardown"])
def test_whatever_raises_costs_one_line(tmp_path, monkeypatch, capsys, name):
    def fail(*_, **__): raise SystemExit(3) if name == "teardown" else RuntimeError("out\nof order")
    with monkeypatch.context() as m:
        owner = wandb.Run if name.startswith("Run.") else wandb
        m.setattr(owner, name.removeprefix("Run."), fail)
        with Tracker(tmp_path/"run", {}, mode="offline") as t: done = use(t)
    wandb.teardown()
    assert done and t.mode == "disabled"
    [line] = complaints(capsys)
    assert line == f"W&B failed ({'SystemExit: 3' if name == 'teardown' else 'RuntimeError: out of order'}): training goes on without it"


def test_a_process_that_dies_costs_one_line(tmp_path, capsys):
    with Tracker(tmp_path/"run", {}, mode="offline") as t:
        service = [p for p in psutil.Process().children() if p.name() == "wandb-core" and p.status() != psutil.STATUS_ZOMBIE]
        for p in service: p.kill()
        done = [use(t) for _ in range(100)]
    assert service and all(done) and t.mode == "disabled" and len(complaints(capsys)) == 1
    with Tracker(tmp_path/"next", {}, mode="offline") as t: use(t)
    assert t.mode == "offline"


def test_a_folder_that_cannot_be_made_costs_one_line(tmp_path, capsys):
    (tmp_path/"run").write_text("a file stands in the way")
    with Tracker(tmp_path/"run", {}, mode="offline") as t: done = use(t)
    assert done and len(complaints(capsys)) == 1


def test_a_finish_that_hangs_is_left_behind(tmp_path, monkeypatch, capsys):
    woken, finish = threading.Event(), wandb.Run.finish
    def hang(run, exit_code=None): woken.wait(30); finish(run, exit_code)
    with monkeypatch.context() as m:
        m.setattr(wandb.Run, "finish", hang)
        m.setattr(track, "within", lambda seconds, call: within(.5, call))
        start = time.perf_counter()
        with Tracker(tmp_path/"run", {}, mode="offline") as t: use(t)
        assert time.perf_counter() - start < 4
    woken.set()
    [line] = complaints(capsys)
    assert "TimeoutError" in line and t.mode == "disabled"
    deadline = time.perf_counter() + 10                                             # let the thread that was left behind end before the next test
    while wandb.sdk.wandb_setup._singleton and time.perf_counter() < deadline: time.sleep(.02)


def test_online_without_a_key_does_not_ask_for_one(tmp_path, capsys):
    start = time.perf_counter()
    with Tracker(tmp_path/"run", {}, mode="online") as t: done = use(t)
    assert done and t.mode == "disabled" and time.perf_counter() - start < 4
    assert "wandb login" in complaints(capsys)[0]


def test_online_and_no_answer_starts_without_it(tmp_path, monkeypatch, capsys, black_hole):
    monkeypatch.setattr(track, "START_SECONDS", 1)
    start = time.perf_counter()
    with Tracker(tmp_path/"run", {}, mode="online") as t: done = use(t)
    assert done and t.mode == "disabled" and time.perf_counter() - start < 6
    assert len(complaints(capsys)) == 1


def test_a_server_that_dies_in_the_middle_delays_the_end_and_nothing_else(tmp_path, monkeypatch, capsys):
    dead, names = threading.Event(), {"id": "aWQ=", "name": "x"}
    bucket = {**names, "name": "abc", "displayName": "run", "description": "", "config": "{}", "sweepName": None, "historyLineCount": 0,
              "project": {**names, "entity": names}}
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if dead.is_set(): time.sleep(20); return
        body = json.dumps({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
    server, url = serve({"do_POST": answer, "do_GET": answer, "do_HEAD": lambda self: (self.send_response(200), self.end_headers())})
    monkeypatch.setenv("WANDB_BASE_URL", url); monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(track, "FINISH_SECONDS", 1)
    with Tracker(tmp_path/"run", {}) as t:
        assert t.mode == "online" and t.url_or_dir.startswith("http")
        dead.set()
        start = time.perf_counter()
        for step in range(1000): t.log({"train/objective": 1.0, "step": step})
        t.images("val/x", np.zeros((4, 4, 3), np.uint8))
        assert time.perf_counter() - start < 2 and t.mode == "online"               # logging does not wait for the server
        use(t)
        start = time.perf_counter()
    assert time.perf_counter() - start < 8
    assert len(complaints(capsys)) == 1 and t.mode == "disabled"
    server.shutdown()


def test_disabled_does_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wandb, "init", None)
    with Tracker(tmp_path/"run", {}, mode="disabled", run_id="abc") as t: done = use(t)
    assert done and t.id == "abc" and not (tmp_path/"run").exists() and capsys.readouterr() == ("", "")


def test_without_the_package_it_is_off(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)                                 # from here on `import wandb` raises
    spec = importlib.util.spec_from_file_location("arc_vae.track_again", track.__file__)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert [wandb_mode(m) for m in ("auto", "online", "disabled")] == ["disabled"]*3
    assert capsys.readouterr().out.splitlines() == ["W&B is off: the package wandb is not installed"]*2
    with Tracker(tmp_path/"run", {}) as t: done = use(t)
    assert done and t.mode == "disabled" and t.id is None and not (tmp_path/"run").exists()

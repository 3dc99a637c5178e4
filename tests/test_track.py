"The tracker's promises: W&B got what was sent, and nothing that W&B does or fails to do reaches the work inside."
import importlib.util
import json
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
import torch
import wandb
from PIL import Image
from wandb_records import read_run, read_runs, records, wandb_files

from arc_vae.infra import tracking as track
from arc_vae.infra.tracking import PUBLIC, ModeError, Tracker, check_mode, wandb_mode, wandb_server, call_with_timeout

KEY = "0"*40


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    "A user without key, settings and proxy; whatever a test leaves behind in environment or exit hooks fails it"
    for name in list(os.environ):
        if name.startswith("WANDB_") or name.lower().endswith("_proxy"): monkeypatch.delenv(name)
    (tmp_path/"home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path/"home"))
    monkeypatch.delenv("NETRC", raising=False)
    before = sys.exit, sys.excepthook
    yield
    assert (sys.exit, sys.excepthook) == before
    assert "WANDB_SERVICE" not in os.environ
    assert "WANDB_DIR" not in os.environ


@pytest.fixture
def black_hole(monkeypatch):
    "A server that accepts the connection and never says a word, and a key for it"
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield server


def serve(methods):
    "A server with the given methods of a request handler, and its address"
    methods = {"log_message": lambda *_: None, **methods}
    handler = type("Handler", (BaseHTTPRequestHandler,), methods)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def complaints(capsys):
    "The lines that were printed because W&B failed"
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B failed")]


# What is sent arrives

def stored_pictures(folder, rows):
    "The pictures that rows of the history name, as arrays"
    pictures = []
    for row in rows:
        for name, entry in row.items():
            if name == "epoch": continue
            for file in entry["filenames"]: pictures.append(np.asarray(Image.open(folder/"files"/file)))
    return pictures


def test_offline_run_reads_back(tmp_path, capsys):
    os.environ["MINE"] = "before"
    environment = {**os.environ, "MINE": "inside"}
    run_dir = tmp_path/"a run"
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
    assert capsys.readouterr().out == ""
    assert t.mode == "offline"
    assert os.environ == environment
    del os.environ["MINE"]

    [file] = wandb_files(run_dir)
    assert str(file.parent) == t.url_or_dir
    run = read_run(file)
    assert run.id == t.id
    assert run.name == "a run"
    assert run.job == "train"
    assert run.exit_code == 0
    assert run.config == {"latent_dim": 10, "schedule": {"beta": 0.5}}
    assert run.axes == {"train/*": "step", "val/*": "epoch", "beta": "epoch"}

    numbers, images, histograms = run.history[:5], run.history[5:7], run.history[7:]
    assert numbers == [
        {"train/objective": 1, "step": 0},
        {"train/objective": 1/2, "step": 10},
        {"train/objective": 1/3, "step": 20},
        {"val/elbo": -25.5, "beta": 0.5, "epoch": 4},
        {"train/objective": "NaN", "step": 30},
    ]
    assert [row["epoch"] for row in images + histograms] == [4]*4
    assert np.array_equal(stored_pictures(file.parent, images), colors[[0, 0, 1]])
    mu, nothing = histograms[0]["val/mu"], histograms[1]["val/nothing"]
    assert mu["_type"] == "histogram"
    assert sum(mu["values"]) == 3
    assert sum(nothing["values"]) == 0

    [model] = run.artifacts
    assert (model.name, model.type) == ("vae", "model")
    assert model.aliases == ["best", "latest"]
    assert model.metadata == {"epoch": 4}
    assert model.files == ["vae_best.pth"]
    assert run.summary["test/pixel_accuracy"] == 0.97
    assert run.summary["val/elbo"] == -25.5

    assert all(f.exists() for f in run.files)
    assert not list((tmp_path/"home").rglob("*"))  # nothing outside the run
    assert {path.name for path in tmp_path.iterdir()} == {"home", "a run"}
    assert {path.name for path in run_dir.iterdir()} == {"wandb", "vae_best.pth"}


def test_evaluation_continues_the_run(tmp_path):
    with Tracker(tmp_path/"run", {"a": 1}, mode="offline") as first:
        first.log({"val/elbo": -2, "epoch": 0})
    with Tracker(tmp_path/"run", {}, mode="offline", job="evaluate", run_id=first.id) as second:
        second.summary({"test/elbo": -1})
    assert second.id == first.id
    old, new = wandb_files(tmp_path/"run")
    run = read_run(new)
    assert run.id == first.id
    assert run.job == "evaluate"
    assert run.summary["test/elbo"] == -1
    assert [str(file.parent) for file in (old, new)] == [first.url_or_dir, second.url_or_dir]
    assert old.stem == new.stem == f"run-{first.id}"


def test_two_runs_at_once_share_no_folder(tmp_path):
    with Tracker(tmp_path/"outer", {}, mode="offline") as outer:
        with Tracker(tmp_path/"inner", {}, mode="offline") as inner:
            assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path/"inner/wandb/cache")
            inner.log({"val/elbo": -1, "epoch": 0})
        assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path/"outer/wandb/cache")
        outer.log({"val/elbo": -2, "epoch": 0})
    [one], [two] = read_runs(tmp_path/"outer"), wandb_files(tmp_path/"inner")
    assert [row["val/elbo"] for row in one.history] == [-2]  # the inner run's end did not end the outer one
    assert one.exit_code == 0
    assert one.id == outer.id
    assert str(two.parent) == inner.url_or_dir
    assert inner.id != outer.id


def test_an_error_inside_passes_through_and_fails_the_run(tmp_path, capsys):
    error = KeyboardInterrupt("Ctrl-C")
    with pytest.raises(KeyboardInterrupt) as caught, Tracker(tmp_path/"run", {}, mode="offline"):
        raise error
    assert caught.value is error
    assert capsys.readouterr() == ("", "")
    assert read_runs(tmp_path/"run")[0].exit_code == 1


# Which mode

def test_a_server_that_never_answers_costs_three_seconds(black_hole):
    start = time.perf_counter()
    assert wandb_mode() == "offline"
    assert 2.5 < time.perf_counter() - start < 4.5


def test_the_time_limit_is_for_everything(monkeypatch):
    def drip(self):
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x"*1000:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(.05)
        except OSError: pass
    server, url = serve({"do_HEAD": drip})
    start = time.perf_counter()
    assert not track.is_reachable(url, .5)
    assert time.perf_counter() - start < 2
    server.shutdown()


@pytest.fixture
def answering(monkeypatch):
    "A server that W&B is told of, its address, and the status that it answers with"
    status = [200]
    def head(self):
        self.send_response(status[0])
        self.end_headers()
    server, url = serve({"do_HEAD": head})
    monkeypatch.setenv("WANDB_BASE_URL", url)
    yield server, url, status
    server.shutdown()


def test_online_needs_a_key_and_a_server(monkeypatch, answering):
    _, _, status = answering
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    for code, mode in ((200, "online"), (404, "online"), (503, "offline")):
        status[0] = code
        assert wandb_mode() == mode


def test_what_is_asked_for_comes_before_the_environment(monkeypatch, answering):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert wandb_mode("offline") == "offline"
    assert wandb_mode("disabled") == "disabled"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled"
    assert wandb_mode("online") == "online"


def test_keys_are_found_where_wandb_leaves_them(tmp_path, monkeypatch, answering):
    server, url, _ = answering
    netrc = tmp_path/"home"/".netrc"
    netrc.write_text(f"machine {url.removeprefix('http://')} login user password {KEY}\n")
    netrc.chmod(0o600)
    assert wandb_mode() == "online"
    netrc.write_text(f"machine api.wandb.ai login user password {KEY}\n")
    assert wandb_mode() == "offline"  # a key for another server
    monkeypatch.delenv("WANDB_BASE_URL")
    assert wandb_server() == (PUBLIC[0], True)
    netrc.unlink()

    settings = tmp_path/"home"/".config"/"wandb"/"settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[default]\nbase_url = {url}\napi_key = {KEY}\n")
    assert wandb_server() == (url, True)
    assert wandb_mode() == "online"
    server.shutdown()
    server.server_close()
    assert wandb_mode() == "offline"


def test_the_public_server_is_the_one_of_the_package():
    assert PUBLIC[0] == wandb.Settings().base_url


def test_an_unknown_mode_names_the_nearest(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="auto, online, offline, disabled, found 'onlin', did you mean 'online'"):
        wandb_mode("onlin")
    monkeypatch.setenv("WANDB_MODE", "offlin")
    with pytest.raises(ValueError, match="did you mean 'offline'"), Tracker(tmp_path/"run", {}): pass
    assert not (tmp_path/"run").exists()


# The folder in which the command was given has a word in it

def in_folder(folder, *words):
    "What W&B's own command line writes where somebody stands."
    command = [sys.executable, "-m", "wandb", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("word", ["offline", "disabled"])
def test_wandb_offline_or_disabled_in_the_folder_is_obeyed(tmp_path, monkeypatch, answering, word):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert wandb_mode() == "online"
    in_folder(tmp_path, word)
    with monkeypatch.context() as m:
        m.chdir(tmp_path)
        assert wandb_mode() == word
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))  # as the command line tells a kernel, which works elsewhere
    assert wandb_mode() == word
    assert wandb_mode("online") == "online", "what is asked for here and now comes before"
    monkeypatch.delenv("WANDB_DIR")
    in_folder(tmp_path, {"offline": "online", "disabled": "enabled"}[word])
    monkeypatch.chdir(tmp_path)
    assert wandb_mode() == "online", "and it can be taken back"


def test_a_kernel_is_told_the_folder_in_which_the_command_was_given(tmp_path, monkeypatch):
    from arc_vae.apps.execute import _environment
    monkeypatch.chdir(tmp_path)
    with _environment(tmp_path/"kernel"): assert os.environ["WANDB_DIR"] == str(tmp_path)
    monkeypatch.setenv("WANDB_DIR", "elsewhere")
    with _environment(tmp_path/"other"): assert os.environ["WANDB_DIR"] == "elsewhere"
    monkeypatch.delenv("WANDB_DIR")


def test_project_and_entity_of_the_folder_are_those_of_the_run(tmp_path, monkeypatch):
    (tmp_path/"wandb").mkdir()
    (tmp_path/"wandb"/"settings").write_text("[default]\nproject = grids\nentity = somebody\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with Tracker(tmp_path/"run", {}, mode="offline"): pass
    (file,) = wandb_files(tmp_path/"run")
    (sent,) = [content for kind, content in records(file) if kind == "run"]
    assert (sent["project"], sent["entity"]) == ("grids", "somebody")


@pytest.mark.parametrize("word, mode", [
    ("dryrun", "offline"), ("OFFLINE", "offline"), ("Disabled", "disabled"), ("run", "online"), ("shared", "online")])
def test_every_legal_word_of_wandb_mode_is_understood(monkeypatch, word, mode):
    monkeypatch.setenv("WANDB_MODE", word)
    assert check_mode() == mode


def test_settings_that_wandb_refuses_turn_it_off(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_BASE_URL", "no address")
    assert wandb_mode() == "disabled"
    assert capsys.readouterr().out.startswith("W&B is off: its settings cannot be used (")


def test_a_word_that_is_none_ends_before_anything_is_written(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from arc_vae.apps.cli import main
    from arc_vae.training.settings import make_config
    from arc_vae.train import train
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["evaluate", "--run", "r", "--wandb", "onlin"])
    assert said.exit_code == 1
    assert said.output == ("Error: --wandb: expected one of auto, online, offline, disabled, found 'onlin', "
                           "did you mean 'online'?\n")
    monkeypatch.setenv("WANDB_MODE", "offlin")
    said = CliRunner().invoke(main, ["train", "--preset", "tiny", "--set", "wandb=auto", "--run", "r"])
    assert said.exit_code == 1
    assert said.output.startswith("Error: WANDB_MODE: expected one of online, offline, disabled, dryrun, run, shared, ")
    with pytest.raises(ModeError): train(make_config("tiny", wandb="auto"), tmp_path/"outputs"/"r")
    assert list(tmp_path.iterdir()) == [tmp_path/"home"]


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


BREAKABLE = (
    "init",
    "Run.log",
    "Run.define_metric",
    "Image",
    "Histogram",
    "Run.log_artifact",
    "Run.finish",
    "teardown",
)


@pytest.mark.parametrize("name", BREAKABLE)
def test_whatever_raises_costs_one_line(tmp_path, monkeypatch, capsys, name):
    def fail(*_, **__): raise SystemExit(3) if name == "teardown" else RuntimeError("out\nof order")
    with monkeypatch.context() as m:
        owner = wandb.Run if name.startswith("Run.") else wandb
        m.setattr(owner, name.removeprefix("Run."), fail)
        with Tracker(tmp_path/"run", {}, mode="offline") as t: done = use(t)
    wandb.teardown()
    assert done
    assert t.mode == "disabled"
    words = "SystemExit: 3" if name == "teardown" else "RuntimeError: out of order"
    assert complaints(capsys) == [f"W&B failed ({words}): training goes on without it"]


def is_service(process):
    "Whether a process is W&B's own, and alive"
    return process.name() == "wandb-core" and process.status() != psutil.STATUS_ZOMBIE


def test_a_process_that_dies_costs_one_line(tmp_path, capsys):
    with Tracker(tmp_path/"run", {}, mode="offline") as t:
        services = [process for process in psutil.Process().children() if is_service(process)]
        for service in services: service.kill()
        done = [use(t) for _ in range(100)]
    assert services
    assert all(done)
    assert t.mode == "disabled"
    assert len(complaints(capsys)) == 1
    with Tracker(tmp_path/"next", {}, mode="offline") as t: use(t)
    assert t.mode == "offline"


def test_a_folder_that_cannot_be_made_costs_one_line(tmp_path, capsys):
    (tmp_path/"run").write_text("a file stands in the way")
    with Tracker(tmp_path/"run", {}, mode="offline") as t: done = use(t)
    assert done
    assert len(complaints(capsys)) == 1


def test_a_finish_that_hangs_is_left_behind(tmp_path, monkeypatch, capsys):
    woken, finish = threading.Event(), wandb.Run.finish
    def hang(run, exit_code=None):
        woken.wait(30)
        finish(run, exit_code)
    with monkeypatch.context() as m:
        m.setattr(wandb.Run, "finish", hang)
        m.setattr(track, "call_with_timeout", lambda seconds, call: call_with_timeout(.5, call))
        start = time.perf_counter()
        with Tracker(tmp_path/"run", {}, mode="offline") as t: use(t)
        assert time.perf_counter() - start < 4
    woken.set()
    [line] = complaints(capsys)
    assert "TimeoutError" in line
    assert t.mode == "disabled"
    deadline = time.perf_counter() + 10  # let the thread that was left behind end before the next test
    while wandb.sdk.wandb_setup._singleton and time.perf_counter() < deadline: time.sleep(.02)


def test_online_without_a_key_does_not_ask_for_one(tmp_path, capsys):
    start = time.perf_counter()
    with Tracker(tmp_path/"run", {}, mode="online") as t: done = use(t)
    assert time.perf_counter() - start < 4
    assert done
    assert t.mode == "disabled"
    assert "wandb login" in complaints(capsys)[0]


def test_online_and_no_answer_starts_without_it(tmp_path, monkeypatch, capsys, black_hole):
    monkeypatch.setattr(track, "START_SECONDS", 1)
    start = time.perf_counter()
    with Tracker(tmp_path/"run", {}, mode="online") as t: done = use(t)
    assert time.perf_counter() - start < 6
    assert done
    assert t.mode == "disabled"
    assert len(complaints(capsys)) == 1


@pytest.fixture
def mortal(monkeypatch):
    "A server that W&B is told of and has a key for, and the event that ends its answers"
    dead = threading.Event()
    names = {"id": "aWQ=", "name": "x"}
    bucket = {
        "id": "aWQ=",
        "name": "abc",
        "displayName": "run",
        "description": "",
        "config": "{}",
        "sweepName": None,
        "historyLineCount": 0,
        "project": {**names, "entity": names},
    }
    body = json.dumps({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}).encode()

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if dead.is_set():
            time.sleep(20)
            return
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def head(self):
        self.send_response(200)
        self.end_headers()

    server, url = serve({"do_POST": answer, "do_GET": answer, "do_HEAD": head})
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    yield dead
    server.shutdown()


def test_a_server_that_dies_in_the_middle_delays_the_end_and_nothing_else(tmp_path, monkeypatch, capsys, mortal):
    monkeypatch.setattr(track, "FINISH_SECONDS", 1)
    with Tracker(tmp_path/"run", {}) as t:
        assert t.mode == "online"
        assert t.url_or_dir.startswith("http")
        mortal.set()
        start = time.perf_counter()
        for step in range(1000): t.log({"train/objective": 1.0, "step": step})
        t.images("val/x", np.zeros((4, 4, 3), np.uint8))
        assert time.perf_counter() - start < 2  # logging does not wait for the server
        assert t.mode == "online"
        use(t)
        start = time.perf_counter()
    assert time.perf_counter() - start < 8
    assert len(complaints(capsys)) == 1
    assert t.mode == "disabled"


def test_disabled_does_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wandb, "init", None)
    with Tracker(tmp_path/"run", {}, mode="disabled", run_id="abc") as t: done = use(t)
    assert done
    assert t.id == "abc"
    assert not (tmp_path/"run").exists()
    assert capsys.readouterr() == ("", "")


def test_without_the_package_it_is_off(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)  # from here on `import wandb` raises
    spec = importlib.util.spec_from_file_location("arc_vae.infra.track_again", track.__file__)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert [wandb_mode(mode) for mode in ("auto", "online", "disabled")] == ["disabled"]*3
    assert capsys.readouterr().out.splitlines() == ["W&B is off: the package wandb is not installed"]*2
    with Tracker(tmp_path/"run", {}) as t: done = use(t)
    assert done
    assert t.mode == "disabled"
    assert t.id is None
    assert not (tmp_path/"run").exists()

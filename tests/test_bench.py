"""Measuring: what is counted is right, subjects are apart, and what ours is compared with is the same training."""
import json
import os
import signal
import sys

import numpy as np
import pytest
import torch
from conftest import BIN, ROOT, command

from arc_vae import bench
from arc_vae.atomic import make_corpus, make_grids
from arc_vae.code.network import make_vae
from arc_vae.train import ConfigError, make_config


@pytest.fixture(scope="module")
def grids(): return make_grids(300, seed=3)[0]


@pytest.fixture
def loader(monkeypatch):
    "benchmarks/reference_loader.py"
    monkeypatch.syspath_prepend(ROOT/"benchmarks")
    import reference_loader
    return reference_loader


def test_subjects_are_measured_in_turns(grids):
    said, subjects = [], ["reference,batch_size=8,threads=1", "reference,batch_size=16,threads=1"]
    result = bench.bench(subjects, grids, steps=2, rounds=2, say=said.append)
    assert json.loads(json.dumps(result)) == result and len(said) == 2 + 2
    assert 2*result["subjects"][0]["gflop_per_step"] == result["subjects"][1]["gflop_per_step"] > 0
    for s in result["subjects"]:
        assert 0 <= s["outside_arithmetic"] <= 1 and 0 < s["step_ms_p50"] <= s["step_ms_p95"] and s["threads"] == 1
        assert s["train_grids_per_second"] > 0 < s["evaluate_grids_per_second"] and 0 < s["memory_at_start_mb"] <= s["memory_mb"]
        assert s["peak_share"] == s["gflops"]/s["peak_gflops"] > 0 and s["parameters"] == sum(p.numel() for p in make_vae("reference").parameters())
    (pair,) = result["pairs"]
    assert [pair["first"], pair["second"]] == subjects and all(pair[k]["p10"] <= pair[k]["median"] <= pair[k]["p90"] for k in ("train", "evaluate"))
    assert all(text in bench.bench_table(result) for text in ("time outside arithmetic", "GFLOP/s", "peak memory", "times as fast"))


def test_a_batch_may_be_larger_than_the_corpus(grids):
    done = bench.train_round(bench.prepare(make_config("reference", batch_size=64, device="cpu"), grids[:10]), 2)
    assert done["grids"] == 128 and len(done["steps"]) == 2


@pytest.mark.parametrize(("subject", "expected"), {"refrence": "did you mean 'reference'", "default,batchsize=3": "did you mean 'batch_size'", "default,512": "expected PRESET,field=value", "default,threads=x": "expected int", "default,corpus=c.npz": "the same grids",
                                                  "default,device=cuba": "did you mean 'cuda'"}.items())
def test_a_subject_that_cannot_be_is_refused_before_anything_starts(grids, subject, expected, monkeypatch):
    monkeypatch.setattr(bench, "Worker", None)
    with pytest.raises(ConfigError, match=expected) as error: bench.bench(["default", subject], grids)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_missing_device_is_refused(grids):
    with pytest.raises(ConfigError, match="device: 'cuda' is not available"): bench.bench(["reference,device=cuda"], grids)


def test_a_killed_worker_is_named(grids, tmp_path):
    np.save(tmp_path/"grids.npy", grids)
    with bench.subject_worker("some subject", make_config("reference", batch_size=8, threads=1), tmp_path/"grids.npy", 1) as worker:
        os.kill(worker.process.pid, signal.SIGKILL)
        with pytest.raises(bench.BenchError, match="some subject: its process ended with signal 9; memory may have run out"): worker.ask("warm")
    assert worker.process.returncode == -9


def test_a_worker_has_the_environment_it_was_given(monkeypatch):
    for name in ("KEPT", "CHANGED", "REMOVED"): monkeypatch.setenv(name, "ours")
    code = "import os; from arc_vae.bench import serve; serve(dict(seen=lambda: [os.environ.get(k) for k in ('KEPT', 'CHANGED', 'REMOVED', 'NEW')]))"
    with bench.Worker("a worker", [sys.executable, "-c", code], dict(CHANGED="its own", REMOVED=None, NEW="its own")) as worker: assert worker.ask("seen") == ["ours", "its own", None, "its own"]


def test_the_loader_trains_the_same_network(loader, grids):
    torch.manual_seed(0)
    ours, theirs = make_vae("reference"), loader.BetaVAE()
    assert sorted(p.shape for p in ours.parameters()) == sorted(p.shape for p in theirs.parameters())
    theirs.encoder.load_state_dict(ours.encoder.net.state_dict()); theirs.decoder.load_state_dict(ours.decoder.net.state_dict())
    x = torch.stack([loader.GridDataset(grids, augment=False)[i] for i in range(20)])
    assert torch.equal(x.argmax(1).to(torch.uint8), torch.from_numpy(grids[:20])) and x.shape == (20, 10, 16, 16) and torch.equal(x.sum(1), torch.ones(20, 16, 16))
    with torch.no_grad():
        z, (mu, logvar) = torch.zeros(20, 10), ours.posterior(torch.from_numpy(grids[:20]))
        reconstruction, kl = loader.losses(theirs.decoder(z), x, mu, logvar)
        assert torch.allclose(theirs(x)[1], mu, atol=1e-5) and torch.allclose(theirs(x)[2], logvar, atol=1e-5)
        from arc_vae.model import distortion, rate
        assert torch.isclose(reconstruction, distortion(ours.logits(z), torch.from_numpy(grids[:20])).mean()) and torch.isclose(kl, rate(mu, logvar).mean())


def test_the_loader_turns_and_recolors(loader, grids):
    data = loader.GridDataset(grids[:1])
    seen = {np.asarray(data[0].argmax(0)).astype(np.uint8).tobytes() for _ in range(50)}
    assert len(seen) > 20
    cells = lambda grid: (np.bincount(grid.ravel(), minlength=10)[0], *sorted(np.bincount(grid.ravel(), minlength=10)[1:]))
    assert {cells(np.frombuffer(each, np.uint8)) for each in seen} == {cells(grids[0])}, "as many cells of each color, and the background is the background"


def test_the_loader_learns(loader, grids):
    torch.manual_seed(0)
    epoch = loader.epochs_of(grids, batch_size=20)
    losses = [epoch() for _ in range(4)]
    assert losses[-1] < .8*losses[0]


def test_pythae_missing_is_one_line(tmp_path):
    done = command(BIN/"python", "benchmarks/reference_pythae.py", make_corpus(tmp_path/"c.npz", 10))
    if done.returncode == 0: pytest.skip("pythae is installed")
    assert done.stdout.count("\n") == 1 and "pip install --no-deps --target FOLDER pythae" in done.stdout


def test_speed_asks_an_implementation(grids, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT/"benchmarks")
    import speed
    np.save(tmp_path/"grids.npy", grids[:128])
    with speed.ExitStack() as stack:
        worker = speed.started(stack, "loader", f"answer('loader', {str(tmp_path/'grids.npy')!r}, 1, True, 0)", {})
        assert worker.ask("round")["train"]["grids"] == 128

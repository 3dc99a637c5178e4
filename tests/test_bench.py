"""Measuring: what is counted is right, subjects are apart, and what ours is compared with is the same training."""
import json
import os
import signal
import sys

import numpy as np
import pytest
import torch
from conftest import BIN, ROOT, command

from arc_vae.apps import bench
from arc_vae.corpus.generator import make_grids
from arc_vae.corpus.writing import make_corpus
from arc_vae.code.network import make_vae
from arc_vae.model import distortion, rate
from arc_vae.infra.settings import ConfigError
from arc_vae.training.settings import make_config


@pytest.fixture(scope="module")
def grids(): return make_grids(300, seed=3)[0]


@pytest.fixture
def loader(monkeypatch):
    "benchmarks/reference_loader.py"
    monkeypatch.syspath_prepend(ROOT/"benchmarks")
    import reference_loader
    return reference_loader


def test_subjects_are_measured_in_turns(grids):
    said = []
    subjects = ["reference,batch_size=8,threads=1", "reference,batch_size=16,threads=1"]
    result = bench.bench(subjects, grids, steps=2, rounds=2, say=said.append)
    assert json.loads(json.dumps(result)) == result
    assert len(said) == 2 + 2

    small_batch, large_batch = result["subjects"]
    assert 2*small_batch["gflop_per_step"] == large_batch["gflop_per_step"] > 0
    parameters = sum(p.numel() for p in make_vae("reference").parameters())
    for record in result["subjects"]:
        assert record["threads"] == 1
        assert record["parameters"] == parameters
        assert 0 <= record["outside_arithmetic"] <= 1
        assert 0 < record["step_ms_p50"] <= record["step_ms_p95"]
        assert record["train_grids_per_second"] > 0
        assert record["evaluate_grids_per_second"] > 0
        assert 0 < record["memory_at_start_mb"] <= record["memory_mb"]
        assert record["peak_share"] == record["gflops"]/record["peak_gflops"] > 0

    (pair,) = result["pairs"]
    assert [pair["first"], pair["second"]] == subjects
    for stage in ("train", "evaluate"):
        assert pair[stage]["p10"] <= pair[stage]["median"] <= pair[stage]["p90"]

    table = bench.bench_table(result)
    for text in ("time outside arithmetic", "GFLOP/s", "peak memory", "times as fast"):
        assert text in table


def test_a_batch_may_be_larger_than_the_corpus(grids):
    subject = bench.prepare(make_config("reference", batch_size=64, device="cpu"), grids[:10])
    done = bench.train_round(subject, 2)
    assert done["grids"] == 128
    assert len(done["steps"]) == 2


REFUSED = {
    "refrence": "did you mean 'reference'",
    "default,batchsize=3": "did you mean 'batch_size'",
    "default,512": "expected PRESET,field=value",
    "default,threads=x": "expected int",
    "default,corpus=c.npz": "the same grids",
    "default,device=cuba": "did you mean 'cuda'",
}


@pytest.mark.parametrize(("subject", "expected"), REFUSED.items())
def test_a_subject_that_cannot_be_is_refused_before_anything_starts(grids, subject, expected, monkeypatch):
    monkeypatch.setattr(bench, "Worker", None)
    with pytest.raises(ConfigError, match=expected) as error:
        bench.bench(["default", subject], grids)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_missing_device_is_refused(grids):
    with pytest.raises(ConfigError, match="device: 'cuda' is not available"):
        bench.bench(["reference,device=cuda"], grids)


def test_a_killed_worker_is_named(grids, tmp_path):
    file = tmp_path/"grids.npy"
    np.save(file, grids)
    cfg = make_config("reference", batch_size=8, threads=1)
    killed = "some subject: its process ended with signal 9; memory may have run out"
    with bench.candidate_worker("some subject", cfg, file, 1) as worker:
        os.kill(worker.process.pid, signal.SIGKILL)
        with pytest.raises(bench.BenchError, match=killed):
            worker.ask("warm")
    assert worker.process.returncode == -9


def test_a_worker_has_the_environment_it_was_given(monkeypatch):
    for name in ("KEPT", "CHANGED", "REMOVED"):
        monkeypatch.setenv(name, "ours")
    code = """
import os
from arc_vae.apps.bench import serve
serve(dict(seen=lambda: [os.environ.get(name) for name in ('KEPT', 'CHANGED', 'REMOVED', 'NEW')]))
"""
    environment = dict(CHANGED="its own", REMOVED=None, NEW="its own")
    with bench.Worker("a worker", [sys.executable, "-c", code], environment) as worker:
        assert worker.ask("seen") == ["ours", "its own", None, "its own"]


def test_the_loader_trains_the_same_network(loader, grids):
    torch.manual_seed(0)
    own = make_vae("reference")
    other = make_vae("reference", seed=1)
    reference = loader.BetaVAE(other.encoder, other.decoder)
    assert sorted(p.shape for p in own.parameters()) == sorted(p.shape for p in reference.parameters())
    reference.encoder.load_state_dict(own.encoder.net.state_dict())
    reference.decoder.load_state_dict(own.decoder.net.state_dict())

    data = loader.GridDataset(grids, augment=False)
    cells = torch.from_numpy(grids[:20])
    planes = torch.stack([data[i] for i in range(20)])
    assert planes.shape == (20, 10, 16, 16)
    assert torch.equal(planes.argmax(1).to(torch.uint8), cells)
    assert torch.equal(planes.sum(1), torch.ones(20, 16, 16))

    with torch.no_grad():
        z = torch.zeros(20, 10)
        mu, logvar = own.posterior(cells)
        _, reference_mu, reference_logvar = reference(planes)
        assert torch.allclose(reference_mu, mu, atol=1e-5)
        assert torch.allclose(reference_logvar, logvar, atol=1e-5)
        reconstruction, kl = loader.losses(reference.decoder(z), planes, mu, logvar)
        assert torch.isclose(reconstruction, distortion(own.logits(z), cells).mean())
        assert torch.isclose(kl, rate(mu, logvar).mean())


def test_the_loader_turns_and_recolors(loader, grids):
    data = loader.GridDataset(grids[:1])
    seen = {np.asarray(data[0].argmax(0)).astype(np.uint8).tobytes() for _ in range(50)}
    assert len(seen) > 20

    def color_counts(grid):
        "Cells of the background, and of the other colors from the rarest."
        background, *colors = np.bincount(grid.ravel(), minlength=10)
        return (background, *sorted(colors))

    counts = {color_counts(np.frombuffer(grid, np.uint8)) for grid in seen}
    assert counts == {color_counts(grids[0])}, "as many cells of each color, and the background is the background"


def test_the_loader_learns(loader, grids):
    torch.manual_seed(0)
    epoch = loader.epochs_of(grids, batch_size=20)
    losses = [epoch() for _ in range(4)]
    assert losses[-1] < .8*losses[0]


def test_pythae_missing_is_one_line(tmp_path):
    done = command(BIN/"python", "benchmarks/reference_pythae.py", make_corpus(tmp_path/"c.npz", 10))
    if done.returncode == 0: pytest.skip("pythae is installed")
    assert done.stdout.count("\n") == 1
    assert "pip install --no-deps --target FOLDER pythae" in done.stdout


def test_speed_asks_an_implementation(grids, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT/"benchmarks")
    import speed
    file = tmp_path/"grids.npy"
    np.save(file, grids[:128])
    with speed.ExitStack() as stack:
        worker = speed.started(stack, "loader", f"answer('loader', {str(file)!r}, 1, True, 0)", {})
        assert worker.ask("round")["train"]["grids"] == 128

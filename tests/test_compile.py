"torch.compile: as few graphs as sizes of batches, the same training, and a training that goes on where it fails."
import pytest
import torch
from conftest import contents

from arc_vae.corpus.generator import make_grids
from arc_vae.data import rng
from arc_vae.code.network import make_vae
from arc_vae.training.state import maybe_compile
from arc_vae.train import loss_terms, make_update, small_run, train_epoch
from arc_vae.training.settings import make_config


@pytest.fixture(autouse=True)
def forgets():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def trained(step_costs):
    "Three epochs of six steps, the last one of each shorter, through both ramps of β; model and what was measured."
    cfg = make_config("reference", batch_size=50, seed=1, beta_mid_epoch=1, beta_final_epoch=2, epochs=3)
    grids = torch.from_numpy(make_grids(265)[0])
    vae = make_vae(seed=1)
    opt = torch.optim.Adam(vae.parameters(), cfg.lr)
    update = make_update(vae, opt, cfg.grad_clip, step_costs)
    return vae, torch.cat([train_epoch(vae, opt, grids, epoch, cfg, update=update) for epoch in range(3)])


def test_one_graph_for_each_size_of_batch(capsys):
    "aot_eager captures forward and backward for real, and leaves out the machine code, which takes a minute to make."
    vae, measured = trained(loss_terms)
    captured_vae, captured_measured = trained(maybe_compile(loss_terms, "aot_eager"))
    assert "warning" not in capsys.readouterr().out
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 2, "18 steps, each with another β and learning rate"
    assert torch.allclose(measured, captured_measured, rtol=1e-3)
    for weights, captured in zip(vae.parameters(), captured_vae.parameters()):
        assert torch.allclose(weights, captured, atol=1e-3)


def test_what_cannot_be_compiled_trains_as_it_is(tmp_path, capsys):
    vae = make_vae("objects")
    x = torch.from_numpy(make_grids(20)[0])
    noise = torch.randn(20, 10, generator=rng("noise", 0))
    step_costs = maybe_compile(loss_terms, "aot_eager")
    for _ in range(2): assert torch.equal(step_costs(vae, x, noise)[0], loss_terms(vae, x, noise)[0])
    assert capsys.readouterr().out.count("warning: torch.compile failed (") == 1
    weights = set()
    for backend in ("", "aot_eager"):
        run = small_run(tmp_path/(backend or "none"), n_corpus=300, epochs=1, compile=backend)
        weights.add(contents(run/"checkpoints")["vae_best.pth"])
    assert len(weights) == 1, "the same weights, bit for bit"

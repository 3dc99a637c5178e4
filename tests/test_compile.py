"""torch.compile: as few graphs as there are sizes of batches, the same training, and a training that goes on where it fails."""
import pytest
import torch
from conftest import contents

from arc_vae.atomic import make_grids
from arc_vae.data import rng
from arc_vae.code.network import make_vae
from arc_vae.train import compiled, costs, make_config, small_run, train_epoch


@pytest.fixture(autouse=True)
def forgets():
    torch._dynamo.reset(); torch._dynamo.utils.counters.clear()


def trained(fast):
    "Three epochs of six steps, the last one of each shorter, through both ramps of β; weights and what was measured."
    cfg = make_config("reference", batch_size=50, seed=1, beta_mid_epoch=1, beta_final_epoch=2, epochs=3)
    grids, vae = torch.from_numpy(make_grids(265)[0]), make_vae(seed=1)
    opt = torch.optim.Adam(vae.parameters(), cfg.lr)
    return vae, torch.cat([train_epoch(vae, opt, grids, e, cfg, costs=fast) for e in range(3)])


def test_one_graph_for_each_size_of_batch():
    "aot_eager captures forward and backward for real, and leaves out the machine code, which takes a minute to make."
    said = []
    (plain, a), (captured, b) = trained(costs), trained(compiled("aot_eager", said.append))
    assert not said and torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2, "18 steps, each with another β and learning rate"
    assert torch.allclose(a, b, rtol=1e-3) and all(torch.allclose(v, w, atol=1e-3) for v, w in zip(plain.parameters(), captured.parameters()))


def test_what_cannot_be_compiled_trains_as_it_is(tmp_path):
    said, vae, x = [], make_vae("objects"), torch.from_numpy(make_grids(20)[0])
    fast, noise = compiled("aot_eager", said.append), torch.randn(20, 10, generator=rng("noise", 0))
    for _ in range(2): assert torch.equal(fast(vae, x, noise)[0], costs(vae, x, noise)[0])
    assert len(said) == 1 and said[0].startswith("warning: torch.compile failed (")
    runs = [small_run(tmp_path/(backend or "none"), n_corpus=300, epochs=1, compile=backend) for backend in ("", "aot_eager")]
    assert len({contents(r/"checkpoints")["vae_best.pth"] for r in runs}) == 1, "the same weights, bit for bit"

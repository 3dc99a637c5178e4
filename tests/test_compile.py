"torch.compile: as few graphs as sizes of batches, and the same training."
import torch

from arc_vae.corpus.generator import make_grids
from arc_vae.code.network import make_vae
from arc_vae.train import make_update, train_epoch
from arc_vae.training.settings import make_config


def trained(backend):
    "Three epochs of six steps, the last one of each shorter, through both ramps of β; model and what was measured."
    cfg = make_config("reference", batch_size=50, seed=1, beta_mid_epoch=1, beta_final_epoch=2, epochs=3)
    grids = torch.from_numpy(make_grids(265)[0])
    vae = make_vae(seed=1)
    opt = torch.optim.Adam(vae.parameters(), cfg.lr)
    update = make_update(vae, opt, cfg.grad_clip, backend)
    return vae, torch.cat([train_epoch(vae, opt, grids, epoch, cfg, update=update) for epoch in range(3)])


def test_one_graph_for_each_size_of_batch():
    "aot_eager captures forward and backward for real, and leaves out the machine code, which takes a minute to make."
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    vae, measured = trained("")
    captured_vae, captured_measured = trained("aot_eager")
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 2, "18 steps, each with another β and learning rate"
    assert torch.allclose(measured, captured_measured, rtol=1e-3)
    for weights, captured in zip(vae.parameters(), captured_vae.parameters()):
        assert torch.allclose(weights, captured, atol=1e-3)

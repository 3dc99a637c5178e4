"""On a GPU: the same codes as on the CPU, a step as one graph, and runs that change from one to the other."""
import pytest
import torch
from test_export import odd_grids

from arc_vae.infra.logging import quiet
from arc_vae.code.dense import groups_of
from arc_vae.code.network import make_vae
from arc_vae.code.network import load
from arc_vae.corpus.formats import arc_grids
from arc_vae.corpus.generator import make_grids
from arc_vae.infra.runs import read_json
from arc_vae.train import make_update, small_run, train, train_epoch
from arc_vae.training.state import Captured, make_optimizer
from arc_vae.training.settings import make_config, resumed_config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA's")


@pytest.fixture(scope="module")
def grids():
    return torch.from_numpy(make_grids(100_000, seed=11)[0])


@pytest.fixture(scope="module")
def vae(grids):
    vae = make_vae("objects").eval()
    with quiet(): vae.fit(grids[:40_000])
    return vae


def test_objects_are_the_same(grids):
    for some in (grids[:5000], odd_grids()):
        assert torch.equal(groups_of(some.cuda()).cpu(), groups_of(some))


@torch.no_grad()
@pytest.mark.parametrize("which", ["generated", "odd", "arc"])
def test_codes_and_grids_are_the_same(vae, grids, which):
    arc = torch.cat([arc_grids("training"), arc_grids("evaluation")]) if which == "arc" else None
    some = dict(generated=grids, odd=odd_grids(), arc=arc)[which]
    on_gpu = make_vae("objects").eval().cuda()
    on_gpu.load_state_dict(vae.state_dict())
    z, there = vae.encode(some, check=False), on_gpu.encode(some, check=False).cpu()
    other = (z - there).abs().amax(1) > 1e-4
    decoded = (vae.decode(z) != on_gpu.decode(z).cpu()).flatten(1).any(1)
    print(f"{which}: {int(other.sum())} of {len(some)} codes and {int(decoded.sum())} decoded grids differ")
    assert other.double().mean() <= 1e-4  # two entries that cost the same to the last digit
    assert decoded.double().mean() <= 1e-3  # two colors that are equally probable


def trained(cfg, grids, captured=True):
    "Model and what was measured after two epochs."
    vae = make_vae(cfg.network).cuda()
    with quiet(): vae.fit(grids)
    opt = make_optimizer(vae, cfg.lr)
    update = make_update(vae, opt, cfg.grad_clip, cfg.compile)
    if not captured: update = update.function
    measured = [train_epoch(vae, opt, grids.cuda(), epoch, cfg, update=update) for epoch in range(2)]
    return vae, torch.cat(measured), update


def agree(measured, others):
    "Distortions and rates of two trainings; a GPU adds in an order that differs, and gradients have far outliers."
    assert torch.equal(measured[:, 3], others[:, 3])
    assert torch.allclose(measured[:5, :2], others[:5, :2], rtol=1e-3)
    assert torch.allclose(measured[:, :2], others[:, :2], rtol=.03)


@pytest.mark.parametrize("network", ["objects_small", "reference"])
def test_a_recorded_step_is_the_step(grids, network):
    cfg = make_config("smoke", network=network, batch_size=100, epochs=2)
    vae, measured, update = trained(cfg, grids[:2050])
    plain, plainly, _ = trained(cfg, grids[:2050], captured=False)
    assert isinstance(update, Captured)
    assert len(update.graphs) == 1, "the short batch has run twice, which is warming up"
    agree(measured, plainly)
    for a, b in zip(vae.parameters(), plain.parameters()): assert (a - b).norm() <= .05*b.norm() + .01


def test_one_graph_for_the_compiler(grids):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    cfg = make_config("smoke", batch_size=100, epochs=2)
    vae, measured, _ = trained(cfg.model_copy(update=dict(compile="inductor")), grids[:1000])
    plain, plainly, _ = trained(cfg, grids[:1000])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    agree(measured, plainly)


@pytest.mark.parametrize("first, then", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_goes_on_elsewhere(tmp_path, capsys, first, then):
    run = small_run(tmp_path/"run", device=first, epochs=2)
    train(resumed_config(run, device=then, epochs=3), run, resume=True)
    assert read_json(run/"training.json")["epochs"] == 3
    assert "so far on" in capsys.readouterr().out
    assert load(run, "cpu").encode(torch.zeros(1, 16, 16), check=False).isfinite().all()

"""What the package offers to Python: names, types, devices, warnings, networks of one's own."""
import ast
import inspect
import warnings

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

import arc_vae
from arc_vae.corpus.generator import make_grids
from arc_vae.infra.checkpoint import CheckpointError
from arc_vae.code.network import make_vae
from arc_vae.data import rng
from arc_vae.model import ReferenceDecoder, ReferenceEncoder, encode_decode
from arc_vae.infra.runs import ConfigError
from arc_vae.train import small_run
from arc_vae.training.settings import make_config


@pytest.fixture(scope="module")
def vae(): return make_vae("objects_small").eval()


def test_names_are_offered_to_people_and_to_editors():
    assert set(arc_vae._HOMES) <= set(dir(arc_vae))
    everything = {}
    exec("from arc_vae import *", everything)
    assert set(arc_vae.__all__) <= set(everything)
    (block,) = [node for node in ast.parse(inspect.getsource(arc_vae)).body if isinstance(node, ast.If)]
    seen_by_editors = {alias.name: line.module for line in block.body for alias in line.names}
    assert seen_by_editors == arc_vae._HOMES
    assert set(seen_by_editors) == {*arc_vae.__all__, "GridEncoder", "from_pretrained"}


def test_a_device_that_is_not_there_is_one_line():
    for device in ("gpu", "tpu:0", "cuda:9x", ""):
        with pytest.raises(ValueError, match="device: .* is not available here; available: .*cpu"):
            arc_vae.load("nowhere", device)


@pytest.mark.parametrize("call", ["as_grids", "encode", "reconstruct", "objects_of"])
def test_warnings_point_to_the_line_that_led_to_them(vae, call):
    f = arc_vae.as_grids if call == "as_grids" else getattr(vae, call)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        f([[1, 2]])
    assert {warning.filename for warning in said} == {__file__}


def test_codes_are_finite(vae):
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="finite"): vae.decode([bad]*10)


def test_distortion_and_rate_are_the_elbo():
    vae = make_vae("reference").eval()
    grids = arc_vae.as_grids(make_grids(40)[0])
    mu, sd = vae.encode(grids, scales=True)
    posterior = Normal(mu, sd)
    z = mu + sd*torch.randn(mu.shape, generator=rng("evaluate", 3))
    colors = Categorical(logits=vae.decode(z, logits=True).movedim(1, -1))
    elbo = colors.log_prob(grids.long()).sum((1, 2)) - kl_divergence(posterior, Normal(0., 1.)).sum(1)
    found = encode_decode(vae, grids, rng("evaluate", 3))
    assert torch.allclose(-found["distortion"] - found["rate"], elbo, rtol=1e-5)


def test_a_network_of_ones_own(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="network: expected one of .*, found 'mine'"): make_config(network="mine")
    monkeypatch.setitem(arc_vae.NETWORKS, "mine", lambda dim: (ReferenceEncoder(dim), ReferenceDecoder(dim)))
    run = small_run(tmp_path/"own", network="mine", n_corpus=200, epochs=1, beta_final_epoch=1)
    assert arc_vae.load(run).reconstruct(np.eye(16, dtype=int)).shape == (1, 16, 16)
    monkeypatch.delitem(arc_vae.NETWORKS, "mine")
    with pytest.raises(CheckpointError, match="network: expected one of .* found 'mine'"): arc_vae.load(run)

"""Models that have learned nothing, or one thing only: every stage comes to its end and says so."""
import json
import math
import re
import shutil
import warnings

import numpy as np
import pytest
import torch

from arc_vae.corpus.generator import FACTORS, KINDS, make_grids
from arc_vae.infra.checkpoint import CheckpointError, save_checkpoint
from arc_vae.code.network import load
from arc_vae.apps.run import execute
from arc_vae.evaluate import evaluate
from arc_vae.report.figures import draw_evaluation
from arc_vae.report.tables import format_report
from arc_vae.report.compare import compare
from arc_vae.report.page import write_report
from arc_vae.apps.explorer import explore
from arc_vae.latent_viz import draw_latent
from arc_vae.sample import sample
from arc_vae.apps.sweep import write_sweep
from arc_vae.infra.runs import RunError
from arc_vae.train import small_run


def strict(text):
    "JSON as every other reader takes it."
    def refuse(word): raise ValueError(f"{word} is no JSON")
    return json.loads(text, parse_constant=refuse)


def paint_only(vae, color):
    "The decoder says one color in every cell, whatever the code is."
    last = vae.decoder.net[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        last.bias[color] = 5.


def forget(vae):
    "Every posterior is the prior: mean 0, standard deviation 1."
    last = vae.encoder.net[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        last.bias[vae.latent_dim:] = math.log(math.expm1(1 - 1e-3))  # where the scale's softplus gives 1


def spoil(vae):
    with torch.no_grad(): vae.encoder.net[-1].bias.fill_(math.nan)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    "A run of the reference network, an epoch on 100 grids."
    folder = tmp_path_factory.mktemp("degenerate")
    return small_run(folder/"reference", network="reference", n_corpus=500, n_train=100, epochs=1, beta_final_epoch=1)


def with_weights(trained, folder, change):
    "The same run with other weights in every checkpoint that evaluation looks at."
    run = shutil.copytree(trained, folder/change.__name__)
    checkpoints = run/"checkpoints"
    vae = load(run)
    change(vae)
    for path in (*checkpoints.glob("beta_*.pth"), checkpoints/"start.pth", checkpoints/"vae_best.pth"):
        save_checkpoint(path, "vae", vae)
    return run


def all_black(trained, folder):
    def black(vae): paint_only(vae, 0)
    return with_weights(trained, folder, black)


def prior_only(trained, folder): return with_weights(trained, folder, forget)


def one_kind(trained, folder):
    "A corpus that knows lines only, and a network that has seen nothing else."
    grids, factors = make_grids(5_000)
    kinds = factors[..., FACTORS.index("kind")]
    lines = ((kinds == KINDS.index("line")) | (kinds < 0)).all(1)
    grids, factors = grids[lines], factors[lines]
    assert len(grids) > 250
    splits = dict(train=slice(120, None), val=slice(60), test=slice(60, 120))
    arrays = {split: grids[rows] for split, rows in splits.items()}
    arrays |= {f"{split}_factors": factors[rows] for split, rows in splits.items()}
    np.savez(folder/"lines.npz", **arrays)
    return small_run(folder/"lines", corpus=str(folder/"lines.npz"), epochs=1, beta_final_epoch=1)


@pytest.fixture(autouse=True)
def few_and_small(monkeypatch):
    "Real figures and grids of ARC, but not the time for large ones with words in them, and for many."
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    import arc_vae.evaluate
    save, arc_tasks = Figure.savefig, arc_vae.evaluate.arc_tasks

    def small(fig, *to, **how):
        fig.set_layout_engine("none")
        for text in fig.findobj(Text): text.set_visible(False)
        save(fig, *to, **how | dict(dpi=20))

    monkeypatch.setattr(Figure, "savefig", small)
    monkeypatch.setattr(arc_vae.evaluate, "arc_tasks", lambda *which: dict(list(arc_tasks(*which).items())[:5]))


@pytest.mark.parametrize("model, verdict", [
    (all_black, "untrained"), (prior_only, "untrained"), (one_kind, None), ("NaN", None)],
    ids=["all black", "the prior whatever it sees", "one kind of object", "NaN"])
def test_a_degenerate_model_is_evaluated_drawn_sampled_and_compared(trained, tmp_path, model, verdict):
    if model == "NaN":
        run = with_weights(trained, tmp_path, spoil)
        for stage in (evaluate, sample):
            with pytest.raises(CheckpointError, match="expected finite .*, found NaN"):
                stage(run, device="cpu", wandb="disabled")
        for stage in (draw_latent, write_report, lambda run: write_sweep([run], tmp_path), lambda run: compare([run])):
            with pytest.raises(RunError, match=r"is missing: `arc-vae evaluate --run spoil` makes it"): stage(run)
        assert "is missing" in explore(run).value
        return
    run = model(trained, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = evaluate(run, "cpu", "disabled", k=1)
        draw_evaluation(run)
        if model is all_black: execute("04_latent_viz", run, wandb="disabled")  # the notebook has been through it too
        else: draw_latent(run, "disabled")
        sample(run, 30, device="cpu", wandb="disabled")
    if verdict: assert metrics["verdict"] == verdict
    assert metrics["reasons"]
    assert strict((run/"metrics.json").read_text(encoding="utf-8")) == metrics
    strict((run/"samples.json").read_text(encoding="utf-8"))
    report = write_report(run).read_text(encoding="utf-8")
    said = format_report(metrics) + compare([run, run]) + write_sweep([run], tmp_path/"sweep")
    strict((tmp_path/"sweep"/"sweep.json").read_text(encoding="utf-8"))
    assert "nan" not in said
    assert "nan" not in re.sub(r"base64,[^\"]*", "", report)
    explorer = explore(run)
    explorer.random_grid()
    explorer.random_prior()
    explorer.undo()
    assert np.isfinite(explorer.decoded.probability).all()


def test_finite_weights_that_overflow_are_refused_in_one_line(trained, tmp_path):
    def explode(vae):
        with torch.no_grad(): vae.encoder.net[-1].weight.fill_(3e38)
    run = with_weights(trained, tmp_path, explode)
    with pytest.raises(RunError, match=r"NaN or infinity for 50 of 50 grids"):
        evaluate(run, "cpu", "disabled", k=1)
    assert not (run/"metrics.json").exists()
    with pytest.raises(RunError, match="NaN or infinity"):
        sample(run, 30, device="cpu", wandb="disabled")


@pytest.mark.parametrize("blank", [False, True], ids=["one test grid", "a copy and a blank grid"])
def test_where_nothing_can_be_said_there_is_a_dash_and_no_nan(tmp_path, blank):
    "One grid has no standard error; of a blank one no colored cell can be right, and skill then has no interval."
    grids, _ = make_grids(20)
    test = np.stack([grids[0], 0*grids[0]]) if blank else grids[-1:]
    np.savez(tmp_path/"few.npz", train=grids[:10], val=grids[10:], test=test)
    run = small_run(tmp_path/"run", corpus=str(tmp_path/"few.npz"), epochs=1, beta_final_epoch=1)
    metrics = evaluate(run, "cpu", "disabled", k=1)
    assert strict((run/"metrics.json").read_text(encoding="utf-8")) == metrics
    assert "nan" not in format_report(metrics) + write_report(run).read_text(encoding="utf-8")
    if blank:
        assert metrics["test"]["intervals"]["skill"] is None
        assert metrics["test"]["unseen"]["without_exact"]["foreground_accuracy"] is None
        assert re.search(r"without the 1 that .*–", format_report(metrics))
        assert "nan" not in compare([run, run])
    else:
        assert metrics["test"]["likelihood"]["interval"] is None
        assert metrics["learned"]["interval"] is None

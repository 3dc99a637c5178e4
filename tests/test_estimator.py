"""Grids as features: scikit-learn's own checks, and grids in every form there and back."""
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

import arc_vae
from arc_vae.infra.logging import quiet
from arc_vae.corpus.generator import make_grids
from arc_vae.infra.checkpoint import CheckpointError, save_checkpoint
from arc_vae.code.network import make_vae
from arc_vae.infra.runs import ConfigError

GRIDS = make_grids(300, seed=2)[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    "A checkpoint of a model that knows its codebook."
    vae = make_vae("objects_small")
    with quiet(): vae.fit(torch.from_numpy(GRIDS))
    return str(save_checkpoint(tmp_path_factory.mktemp("model")/"vae.pth", "vae", vae))


def test_scikit_learn_is_content(path):
    checks = check_estimator(arc_vae.GridEncoder(path), on_fail=None, on_skip=None)
    assert len(checks) > 35
    assert {check["check_name"]: str(check["exception"]) for check in checks if check["status"] == "failed"} == {}


FORMS = {"grids": GRIDS, "rows": GRIDS.reshape(-1, 256), "short rows": GRIDS.reshape(-1, 256)[:, :40],
         "small": GRIDS[:, :5, :9], "floats": GRIDS.astype(float), "channel": GRIDS[..., None], "one row": GRIDS[:, :1]}


@pytest.mark.parametrize("name", FORMS)
def test_what_comes_back_has_the_form_that_went_in(path, name):
    X = FORMS[name]
    encoder = arc_vae.GridEncoder(path).fit(X)
    z = encoder.transform(X)
    back = encoder.inverse_transform(z)
    assert z.shape == (300, 10) and back.shape == X.shape
    cells, inside = np.zeros((300, 16, 16), np.uint8), X.reshape(300, *X.shape[1:3]) if X.ndim > 2 else None
    if X.ndim == 2: cells.reshape(300, 256)[:, :X.shape[1]] = X
    else: cells[:, :X.shape[1], :X.shape[2]] = inside
    assert np.array_equal(z, arc_vae.load(path).encode(cells).numpy())


def test_small_grids_keep_their_size_where_the_code_has_one(canvas_model):
    vae, X = canvas_model, GRIDS[:, :5, :9]
    encoder = arc_vae.GridEncoder(vae).fit(X)
    z = encoder.transform(X)
    assert np.array_equal(encoder.inverse_transform(z), vae.decode(z)[:, :5, :9])
    assert {grid.shape for grid in vae.decode(z, crop=True)} == {(5, 9)}
    assert list(encoder.get_feature_names_out()[-3:]) == ["grid_height", "grid_width", "grid_background"]


def test_numbers_have_names(path):
    names = arc_vae.GridEncoder(path, scales=True).fit(GRIDS).get_feature_names_out()
    assert list(names[:3]) == ["largest_object_row", "largest_object_column", "largest_object_look"]
    assert len(names) == 20 and names[10] == "largest_object_row_sd"
    table = arc_vae.GridEncoder(make_vae()).fit(GRIDS)
    assert list(table.get_feature_names_out()) == [f"z{i}" for i in range(10)]
    both = arc_vae.GridEncoder(path, scales=True).fit(GRIDS).transform(GRIDS)
    assert np.allclose(both[:, 10:], arc_vae.load(path).encode(GRIDS, scales=True)[1])


def test_without_a_model_it_trains_one():
    settings = dict(epochs=1, beta_final_epoch=1, device="cpu")
    encoder = arc_vae.GridEncoder(preset="tiny", settings=settings).fit(GRIDS)
    again = clone(encoder).fit(GRIDS)
    assert np.array_equal(encoder.transform(GRIDS), again.transform(GRIDS)), "the same grids, the same model"
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        arc_vae.GridEncoder(settings=dict(epoch=1)).fit(GRIDS)


BAD = {"a fraction": (GRIDS + .5, "expected whole numbers"), "tens": (GRIDS + 10, "expected whole numbers"),
       "below zero": (GRIDS.astype(int) - 1, "Negative values"), "long rows": (np.zeros((9, 300)), "at most 256 cells"),
       "large": (np.zeros((9, 20, 20)), "of at most 16x16"), "NaN": (np.full((9, 4), np.nan), "NaN"),
       "one row": (np.zeros(9), "2D array")}


def test_no_grids_and_no_model_are_one_error(path):
    for X, expected in BAD.values():
        with pytest.raises(ValueError, match=expected): arc_vae.GridEncoder(path).fit(X)
    with pytest.raises(CheckpointError, match="nowhere.pth: no such checkpoint"):
        arc_vae.GridEncoder("nowhere.pth").fit(GRIDS)

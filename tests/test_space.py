"""The trained model that comes with the repository: adding moves, turning turns, rectangles come back."""
import pytest
import torch
from conftest import ROOT

import arc_vae
from arc_vae.corpus.generator import make_grids
from arc_vae.code.codebook import boxes
from arc_vae.code.labels import decode_labels
from arc_vae.code.edits import drop
from arc_vae.code.operators import recolor, turn


@pytest.fixture(scope="module")
def trained():
    "The model, 2,000 grids that no training has seen, their codes, and what these decode to."
    vae = arc_vae.load(ROOT/"benchmarks"/"results"/"default-seed0.pth")
    x = torch.from_numpy(make_grids(2000, seed=77)[0])
    z = vae.encode(x)
    return vae, x, z, vae.decode(z)


def added(vae, what, by):
    "The constant vector that vae.axes promises."
    vector = torch.zeros(vae.latent_dim)
    for axis in vae.axes:
        if axis.what == what: vector[axis.index] = by*axis.step
    return vector


def exactly(a, b): return (a == b).flatten(1).all(1).double().mean().item()


@pytest.mark.parametrize("times, least", [(1, .99), (5, .98)])
@pytest.mark.parametrize("what, dim, by", [("row", 1, 1), ("row", 1, -1), ("column", 2, 1), ("column", 2, -1)])
def test_adding_steps_moves_every_object(trained, what, dim, by, times, least):
    vae, _, z, back = trained
    border = back.narrow(dim, 16 - times if by > 0 else 0, times)
    room = (border == 0).flatten(1).all(1)
    moved = vae.decode(z[room] + times*added(vae, what, by))
    assert room.sum() > 300 and exactly(moved, back[room].roll(by*times, dim)) >= least
    assert exactly(back[room], back[room].roll(by*times, dim)) < .05, "doing nothing would not do"


@pytest.mark.parametrize("by, least", [(1, .99), (2, .99), (-1, .99), (5, .98)])
def test_adding_steps_recolors(trained, by, least):
    vae, _, z, back = trained
    color = decode_labels(vae.code, z).color
    room = ((color == 0) | (color + by >= 1) & (color + by <= 9)).all(1)
    recolored = vae.decode(recolor(vae, z[room], by))
    assert room.sum() > 100 and exactly(recolored, torch.where(back[room] > 0, back[room] + by, 0)) >= least


@pytest.mark.parametrize("turned_by, turned", [
    ("mirror", lambda x: x.flip(2)), ("flip", lambda x: x.flip(1)), ("quarter", lambda x: torch.rot90(x, 1, (1, 2)))])
def test_turning_turns(trained, turned_by, turned):
    vae, _, z, back = trained
    assert exactly(vae.decode(turn(vae, z, turned_by)), turned(back)) >= .99


def test_dropping_an_object_is_recoloring_it_to_black(trained):
    vae, _, z, back = trained
    two = (decode_labels(vae.code, z).color > 0).sum(1) == 2
    black = z[two].clone()
    black[:, 5] = vae.code.edge[1] - 1e-3  # just below color 1
    dropped = vae.decode(drop(vae, z[two], object=1))
    # The operator encodes what is left anew, where another entry may be cheaper
    assert two.sum() > 200 and exactly(vae.decode(black), dropped) > .9 and exactly(back[two], dropped) < .05


def test_a_filled_rectangle_of_any_size_comes_back(trained):
    vae = trained[0]
    for color in (1, 9):
        x = color*boxes()[0].view(-1, 16, 16).to(torch.uint8)
        assert torch.equal(vae.reconstruct(x), x)


def test_every_object_of_every_code_is_read_as_it_was_written(trained):
    vae, x, z, _ = trained
    o, again = vae.objects_of(x), vae.decode_objects(z)
    for part in ("grid", "slot", "color"): assert torch.equal(getattr(o, part), getattr(again, part)), part
    assert len(vae.axes) == vae.latent_dim == 10 and [a.index for a in vae.axes] == list(range(10))

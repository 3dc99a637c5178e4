"""What an object code could reach if its numbers cost exactly their entropy and were never misread.

    python benchmarks/bound.py [--corpus corpus.npz]

The four largest objects of every training grid: how many there are, their colors and places cost their entropy
(symmetric under turning and mirroring, separately for each rank by size). Shapes are coded by entropy-constrained
vector quantization (Chou, Lookabaugh & Gray 1989): M pictures for each box, every shape takes the one of least
distortion + beta*rate. `chosen boxes` also lets a shape take the picture of another box that begins up to a cell away,
so that box and place are lossy too. Not a bound in the strict sense (EM finds local optima, objects are coded one by
one), but it is what all the freedom of this family is worth.
"""
import argparse
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from arc_vae import train
from arc_vae.corpus.objects import find_objects

SIDE = 18  # a picture with a margin of one cell
HERE = Path(__file__).parent


def cost_of(pictures, shapes):
    "Distortion of every shape under every picture, (N, M) nats."
    p = pictures.clamp(2e-4, 1 - 2e-4)
    return -(shapes @ (p.log() - (-p).log1p()).T) - (-p).log1p().sum(1)


def entropy(share):
    "Of a distribution, nats."
    return -(share*share.clamp(min=1e-12).log()).sum().item()


def binary_entropy(p):
    "Of something that is so with probability p, nats."
    return -sum(q*math.log(q) for q in (p, 1 - p) if q > 0)


# Exact boxes

def quantize(shapes, beta, m, rounds=15):
    "Pictures and shares of an entropy-constrained codebook of at most m pictures."
    centers = .5*shapes[torch.randperm(len(shapes))[:m]] + .5*shapes.mean(0)
    centers[0] = shapes.mean(0)
    share = torch.full((len(centers),), 1/len(centers))
    for _ in range(rounds):
        choice = (cost_of(centers, shapes) - beta*share.log()).argmin(1)
        count = torch.bincount(choice, minlength=len(centers))
        used = count > 0
        centers = torch.zeros_like(centers).index_add_(0, choice, shapes)[used]/count[used, None]
        share = count[used]/len(shapes)
    return centers, share


def place_costs(extent, start, n):
    "For each length of objects along one side: nats a grid for where they begin, the same from either end."
    for value in extent.unique():
        share = torch.bincount(start[extent == value], minlength=17 - int(value)).float()
        share = share + share.flip(0)
        share = share/share.sum()
        yield int((extent == value).sum())*entropy(share)/n


def label_costs(o, n):
    "Nats a grid for number of objects, colors, and place given the box, with the symmetries of the square."
    count, color, place = 0., 0., 0.
    for k in range(4):
        here = o.slot == k
        before = n if k == 0 else int((o.slot == k - 1).sum())
        found = int(here.sum())
        count += before*binary_entropy(found/before)/n
        color += found*math.log(9)/n
        for extent, start in ((o.height, o.top), (o.width, o.left)):
            for cost in place_costs(extent[here], start[here], n):
                place += cost
    return count, color, place


def boxes_cost(o, n):
    "Nats a grid for height and width of each object, turned and mirrored alike."
    total = 0.
    for k in range(4):
        h = o.height[o.slot == k]
        w = o.width[o.slot == k]
        share = torch.bincount(torch.cat([h*17 + w, w*17 + h])).float()
        share = share/share.sum()
        total += len(h)*entropy(share)/n
    return total


def exact_boxes(o, shapes, n, beta, m):
    "Distortion and rate of the shapes alone, nats a grid, and the share of exact grids; up to m pictures for each box."
    distortion = torch.zeros(len(o.grid))
    rate = torch.zeros(len(o.grid))
    right = torch.ones(len(o.grid), dtype=torch.long)
    box = (o.slot*17 + o.height)*17 + o.width
    for b in box.unique():
        members = (box == b).nonzero()[:, 0]
        h = int(o.height[members[0]])
        w = int(o.width[members[0]])
        if min(h, w) == 1: continue  # a line has one shape
        boxed = shapes[members, :h, :w].flatten(1)
        pictures, share = quantize(boxed, beta, min(m, max(1, len(members)//8)))
        cost = cost_of(pictures, boxed)
        choice = (cost - beta*share.log()).argmin(1)
        distortion[members] = cost.gather(1, choice[:, None])[:, 0]
        rate[members] = -share.log()[choice]
        right[members] = ((pictures[choice] > .5).float() == boxed).all(1).long()
    exact = torch.ones(n, dtype=torch.long).scatter_reduce(0, o.grid, right, "amin").float().mean()
    return distortion.sum().item()/n, rate.sum().item()/n, exact


# Chosen boxes

class Codebook(NamedTuple):
    pictures: Tensor  # probability of each cell, (M, SIDE*SIDE)
    share: Tensor     # of the objects that take it, (M,)
    room: Tensor      # nats of a place for its box, (M,)


def codebook_of_boxes(o, x, beta):
    "One or two pictures for each box that occurs."
    pictures, share, room = [], [], []
    for h in range(1, 17):
        for w in range(1, 17):
            boxed = x[(o.height == h) & (o.width == w)].flatten(1)
            if not len(boxed): continue
            p, s = quantize(boxed, beta, 2 if len(boxed) > 60 and min(h, w) > 1 else 1)
            pictures.append(p)
            share.append(s*len(boxed)/len(x))
            room += [math.log((17 - h)*(17 - w))]*len(p)
    return Codebook(torch.cat(pictures), torch.cat(share), torch.tensor(room))


def cheapest(book, x, beta, shift):
    "Of each object the least distortion + beta*rate under pictures that are moved by a shift, and the picture of it."
    moved = book.pictures.view(-1, SIDE, SIDE).roll(shift, (1, 2)).flatten(1)
    costs, picks = [], []
    for batch in x.split(5000):
        cost, pick = (cost_of(moved, batch.flatten(1)) + beta*(book.room - book.share.log())).min(1)
        costs.append(cost)
        picks.append(pick)
    return torch.cat(costs), torch.cat(picks)


def chosen_boxes(o, n, beta, rounds=25):
    """Distortion and rate of shape, box and place together when each object takes whichever picture is cheapest, up to
    a cell away."""
    x = torch.zeros(len(o.grid), SIDE, SIDE)
    x[:, 1:17, 1:17] = o.shapes()
    book = codebook_of_boxes(o, x, beta)
    around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    for i in range(rounds):
        shifts = around if i else [(0, 0)]
        costs, picks = zip(*(cheapest(book, x, beta, shift) for shift in shifts))
        best, which_shift = torch.stack(costs, 1).min(1)
        choice = torch.stack(picks, 1).gather(1, which_shift[:, None])[:, 0]
        rate = (book.room - book.share.log())[choice].sum().item()/n
        distortion = best.sum().item()/n - beta*rate
        total = torch.zeros_like(book.pictures)
        count = torch.bincount(choice, minlength=len(book.pictures))
        for s, (dy, dx) in enumerate(shifts):
            moved = which_shift == s
            total.index_add_(0, choice[moved], x[moved].roll((-dy, -dx), (1, 2)).flatten(1))
        used = count > 0
        book = Codebook(total[used]/count[used, None], count[used]/len(x), book.room[used])
    return distortion, rate


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--corpus", default="")
    ask.add_argument("--n", type=int, default=40_000, help="training grids to count")
    args = ask.parse_args()
    torch.manual_seed(0)
    cfg = train.make_config("default", corpus=args.corpus)
    grids = train.open_corpus(cfg, HERE.parent/"outputs"/"corpus").train[:args.n]
    o, n = find_objects(grids, 4), len(grids)
    shapes = o.shapes()
    count, color, place = label_costs(o, n)
    box = boxes_cost(o, n)
    print(f"rate, nats a grid: how many {count:.2f}, colors {color:.2f}, boxes {box:.2f}, places {place:.2f}, "
          f"together {count + color + box + place:.2f}")
    for beta in (1., 2.):
        for m in (1, 4, 16, 64):
            d, r, exact = exact_boxes(o, shapes, n, beta, m)
            r = r + count + color + box + place
            print(f"β = {beta:g}, exact boxes, up to {m:2} pictures a box: distortion {d:5.2f}, rate {r:5.2f}, "
                  f"distortion + β·rate {d + beta*r:5.2f}, exact grids {exact:.1%}", flush=True)
        d, r = chosen_boxes(o, n, beta)
        print(f"β = {beta:g}, chosen boxes: distortion {d:5.2f}, rate {r + count + color:5.2f}, "
              f"distortion + β·rate {d + beta*(r + count + color):5.2f}", flush=True)


if __name__ == "__main__":
    main()

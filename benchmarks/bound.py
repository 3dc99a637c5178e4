"""What an object code could reach if its numbers cost exactly their entropy and were never misread.

    python benchmarks/bound.py [--corpus corpus.npz]

The four largest objects of every training grid: how many there are, their colors and places cost their entropy (symmetric under turning and mirroring, separately for each rank by size). Shapes are coded by
entropy-constrained vector quantization (Chou, Lookabaugh & Gray 1989): M pictures for each box, every shape takes the one of least distortion + beta*rate. `chosen boxes` also lets a shape take the picture of
another box that begins up to a cell away, so that box and place are lossy too. Not a bound in the strict sense (EM finds local optima, objects are coded one by one), but it is what all the freedom of this family is worth.
"""
import argparse
import math
from pathlib import Path

import torch

from arc_vae import train
from arc_vae.objects import find_objects

SIDE = 18  # a picture with a margin of one cell


def cost_of(pictures, shapes):
    "Distortion of every shape under every picture, (N, M) nats."
    p = pictures.clamp(2e-4, 1 - 2e-4)
    return -(shapes @ (p.log() - (-p).log1p()).T) - (-p).log1p().sum(1)


def quantize(shapes, beta, m, rounds=15):
    "Pictures and shares of an entropy-constrained codebook of at most m pictures."
    centers = .5*shapes[torch.randperm(len(shapes))[:m]] + .5*shapes.mean(0)
    centers[0], share = shapes.mean(0), torch.full((len(centers),), 1/len(centers))
    for _ in range(rounds):
        choice = (cost_of(centers, shapes) - beta*share.log()).argmin(1)
        count = torch.bincount(choice, minlength=len(centers))
        used = count > 0
        centers = torch.zeros_like(centers).index_add_(0, choice, shapes)[used]/count[used, None]
        share = count[used]/len(shapes)
    return centers, share


def label_costs(o, n):
    "Nats a grid for number of objects, colors, and place given the box, with the symmetries of the square."
    count, color, place = 0., 0., 0.
    for k in range(4):
        before, here = (n if k == 0 else int((o.slot == k - 1).sum())), o.slot == k
        p = int(here.sum())/before
        count -= before*sum(q*math.log(q) for q in (p, 1 - p) if q > 0)/n
        color += int(here.sum())*math.log(9)/n
        for extent, start in ((o.height, o.top), (o.width, o.left)):
            e, s = extent[here], start[here]
            for value in e.unique():
                share = torch.bincount(s[e == value], minlength=17 - int(value)).float()
                share = (share + share.flip(0)); share = share/share.sum()
                place += int((e == value).sum())*-(share*share.clamp(min=1e-12).log()).sum().item()/n
    return count, color, place


def boxes_cost(o, n):
    "Nats a grid for height and width of each object, turned and mirrored alike."
    total = 0.
    for k in range(4):
        h, w = o.height[o.slot == k], o.width[o.slot == k]
        share = torch.bincount(torch.cat([h*17 + w, w*17 + h])).float()
        share = share/share.sum()
        total += len(h)*-(share*share.clamp(min=1e-12).log()).sum().item()/n
    return total


def chosen_boxes(o, n, beta, rounds=25):
    "Distortion and rate of shape, box and place together when each object takes whichever picture is cheapest, up to a cell away."
    x = torch.zeros(len(o.grid), SIDE, SIDE); x[:, 1:17, 1:17] = o.shapes()
    pictures, share, room = [], [], []
    for h in range(1, 17):
        for w in range(1, 17):
            mine = x[(o.height == h) & (o.width == w)].flatten(1)
            if not len(mine): continue
            p, s = quantize(mine, beta, 2 if len(mine) > 60 and min(h, w) > 1 else 1)
            pictures.append(p); share.append(s*len(mine)/len(x)); room += [math.log((17 - h)*(17 - w))]*len(p)
    pictures, share, room = torch.cat(pictures), torch.cat(share), torch.tensor(room)
    for turn in range(rounds):
        shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)] if turn else [(0, 0)]
        found = []
        for shift in shifts:
            moved = pictures.view(-1, SIDE, SIDE).roll(shift, (1, 2)).flatten(1)
            best, pick = zip(*((cost_of(moved, b.flatten(1)) + beta*(room - share.log())).min(1) for b in x.split(5000)))
            found.append((torch.cat(best), torch.cat(pick)))
        costs, picks = (torch.stack(part, 1) for part in zip(*found))
        best, where = costs.min(1)
        choice = picks.gather(1, where[:, None])[:, 0]
        rate = (room - share.log())[choice].sum().item()/n
        distortion = best.sum().item()/n - beta*rate
        total, count = torch.zeros_like(pictures), torch.bincount(choice, minlength=len(pictures))
        for i, (dy, dx) in enumerate(shifts):
            mine = where == i
            total.index_add_(0, choice[mine], x[mine].roll((-dy, -dx), (1, 2)).flatten(1))
        used = count > 0
        pictures, share, room = total[used]/count[used, None], count[used]/len(x), room[used]
    return distortion, rate


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--corpus", default="")
    ask.add_argument("--n", type=int, default=40_000, help="training grids to count")
    args = ask.parse_args()
    torch.manual_seed(0)
    grids = train.open_corpus(train.make_config("default", corpus=args.corpus), Path(__file__).parent.parent/"outputs"/"corpus").train[:args.n]
    o, n = find_objects(grids, 4), len(grids)
    pictured = o.shapes()
    count, color, place = label_costs(o, n)
    box = boxes_cost(o, n)
    print(f"rate, nats a grid: how many {count:.2f}, colors {color:.2f}, boxes {box:.2f}, places {place:.2f}, together {count + color + box + place:.2f}")
    for beta in (1., 2.):
        for m in (1, 4, 16, 64):
            d, r, right = torch.zeros(len(o.grid)), torch.zeros(len(o.grid)), torch.ones(len(o.grid), dtype=torch.long)
            key = (o.slot*17 + o.height)*17 + o.width
            for b in key.unique():
                mine = (key == b).nonzero()[:, 0]
                h, w = int(o.height[mine[0]]), int(o.width[mine[0]])
                if min(h, w) == 1: continue  # a line has one shape
                shapes = pictured[mine, :h, :w].flatten(1)
                pictures, share = quantize(shapes, beta, min(m, max(1, len(mine)//8)))
                cost = cost_of(pictures, shapes)
                choice = (cost - beta*share.log()).argmin(1)
                d[mine], r[mine] = cost.gather(1, choice[:, None])[:, 0], -share.log()[choice]
                right[mine] = ((pictures[choice] > .5).float() == shapes).all(1).long()
            exact = torch.ones(n, dtype=torch.long).scatter_reduce(0, o.grid, right, "amin").float().mean()
            d, r = d.sum().item()/n, r.sum().item()/n + count + color + box + place
            print(f"β = {beta:g}, exact boxes, up to {m:2} pictures a box: distortion {d:5.2f}, rate {r:5.2f}, distortion + β·rate {d + beta*r:5.2f}, exact grids {exact:.1%}", flush=True)
        d, r = chosen_boxes(o, n, beta)
        print(f"β = {beta:g}, chosen boxes: distortion {d:5.2f}, rate {r + count + color:5.2f}, distortion + β·rate {d + beta*(r + count + color):5.2f}", flush=True)


if __name__ == "__main__": main()

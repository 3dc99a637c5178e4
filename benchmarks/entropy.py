"""An upper bound of the entropy of generated grids, in nats a grid: no model can need less on average.

    python benchmarks/entropy.py 1000      # the first test grids of the default corpus, half a minute

The rules are known, and the factors say what was drawn. Summed exactly are the orders of the objects, the causes of the
same cells (two are a blob, a rectangle or a line cut at the border) and the orders in which a blob grows. Left out are
objects that found no place or can be seen as two, so a grid costs a little more than -log p, and the mean is a bound
(Cover & Thomas 2006, th. 2.6.3). A set of cells is a whole number, bit 32*row + column for each: union is |, moving is
a shift, and what moves out at one side never comes in at the other.
"""
import sys
from collections import Counter, defaultdict
from functools import lru_cache, reduce
from itertools import permutations, product

import numpy as np

import arc_vae.corpus.generator as drawing
from arc_vae.data import GRID, N_COLORS
from arc_vae.metrics.likelihood import mean_interval
from arc_vae.training.settings import make_config, open_corpus

WIDE = 2*GRID
BLOB, RECTANGLE, LINE, PATTERN = drawing.KIND_SHARES
MIN_SIZE, MAX_SIZE = drawing.MIN_SIZE, drawing.MAX_SIZE
N_SIZES = MAX_SIZE - MIN_SIZE + 1
STEPS = (drawing.NEIGHBORS @ (WIDE, 1)).tolist()


def bitboard(picture): return sum(1 << y*WIDE + x for y, x in np.argwhere(picture).tolist())
def cells_of(board): return tuple(i for i in range(board.bit_length()) if board >> i & 1)
def shift(board, by): return board << by if by >= 0 else board >> -by

BOARD = bitboard(np.ones((GRID, GRID)))
# Cells of each rectangle, lying and standing, and of each pattern, their box in the corner -> probability
SHAPES = Counter()
of_size = np.array(list(drawing.RECTANGLES.values()))/sum(drawing.RECTANGLES.values())
rectangles, patterns = (cells.reshape(-1, MAX_SIZE, 2).tolist()
                        for cells in (drawing.RECTANGLE_CELLS, drawing.PATTERN_CELLS))
shares = [*np.repeat(RECTANGLE*of_size/2, 2).tolist(), *[PATTERN/len(patterns)]*len(patterns)]
for shape, share in zip(rectangles + patterns, shares):
    SHAPES[tuple(y*WIDE + x for y, x in shape if y != drawing.OFF_GRID)] += share


@lru_cache(1 << 16)
def blob_probability(shape):
    "Exact probability that a blob of as many cells grows into this shape, wherever it stands; 0 where it is in pieces."
    n = len(shape)
    touching = dict.fromkeys(shape, 0)  # cell -> which of the n cells it touches, a bit for each; the n come first
    for (i, cell), step in product(enumerate(shape), STEPS):
        touching[cell + step] = touching.get(cell + step, 0) | 1 << i
    subsets = np.arange(1 << n, dtype=np.uint16)
    # k of every candidate and subset: how many cells of the subset it touches
    k = np.bitwise_count(subsets & np.array(list(touching.values()), np.uint16)[:, None])
    weight = k*(k + 1)
    weight[:n][subsets >> np.arange(n, dtype=np.uint16)[:, None] & 1 == 1] = 0  # a cell of the subset is no candidate
    passed = np.zeros(1 << n)
    passed[1 << np.arange(n)] = 1
    # every subset hands its probability on to the subsets of one more cell, smaller ones first
    for size in range(1, n):
        here = np.flatnonzero((np.bitwise_count(subsets) == size) & (passed > 0))
        share = passed[here]/weight[:, here].sum(0)
        for i in range(n): passed[here | 1 << i] += share*weight[i, here]
    return float(passed[-1])


@lru_cache(1)
def clipped_lines():
    "Visible cells of a line -> list of (probability, offsets from its start)."
    lines = defaultdict(list)
    steps = zip((drawing.LINE_STEPS.astype(int) @ (WIDE, 1)).tolist(), drawing.LINE_SHARES)
    for (step, share), length in product(steps, range(MIN_SIZE, MAX_SIZE + 1)):
        line = tuple(step*i for i in range(length))
        for start in cells_of(BOARD):
            visible = sum(shift(1 << start, offset) & BOARD for offset in line)
            if visible.bit_count() >= MIN_SIZE: lines[visible].append((LINE*share/N_SIZES, line))
    return lines


@lru_cache(1 << 12)
def derivations(shape):
    "Every way to draw these cells: (probability, offsets from an anchor, where it may stand, how many are tried)."
    def anchors(offsets): return reduce(lambda room, offset: room & shift(BOARD, -offset), offsets, BOARD)
    visible = cells_of(shape)
    if not MIN_SIZE <= len(visible) <= MAX_SIZE: return []
    corner = visible[0]//WIDE*WIDE + min(c % WIDE for c in visible)
    compact = tuple(c - corner for c in visible)
    p = SHAPES[compact] + BLOB/N_SIZES*blob_probability(compact)
    ways = [(p, compact, anchors(compact), anchors(compact).bit_count())] if p > 0 else []
    for share, line in clipped_lines().get(shape, ()): ways.append((share, line, anchors(line[:MIN_SIZE]), GRID**2))
    return ways


def object_probability(shape, taken=0):
    "Probability that the next object has these cells and this color, when some cells are taken."
    total = 0.
    for p, offsets, room, tried in derivations(shape):
        for offset in offsets: room &= ~shift(taken, -offset)
        n_fit = room.bit_count()
        if n_fit: total += p*(1 - (1 - n_fit/tried)**drawing.MAX_ATTEMPTS)/n_fit
    return total/(N_COLORS - 1)


def scene_probability(objects):
    "Probability that exactly these objects are drawn, in any order, none of them dropped."
    passed = {0: 1/drawing.MAX_OBJECTS}  # taken cells -> probability that drawing passes through them
    for _ in objects:
        before, passed = passed, Counter()
        for (taken, p), o in product(before.items(), objects):
            if not o & taken: passed[taken | o] += p*object_probability(o, taken)
    return sum(passed.values())


def scene_cost(grid, factors):
    "Nats of a grid; infinite where no way to divide its cells among the objects of the factors can be drawn."
    boxes = []  # of each object, the cells of its color in its box
    for _, color, _, top, left, height, width in factors[factors[:, 1] > 0].tolist():
        boxes.append(bitboard(grid[top:top + height, left:left + width] == color) << top*WIDE + left)
    readings = set()
    for order in permutations(boxes):  # where boxes of one color overlap, the one that comes first takes the cells
        taken, objects = 0, []
        for box in order:
            objects.append(box & ~taken)
            taken |= box
        if taken == bitboard(grid): readings.add(frozenset(objects))
    p = sum(map(scene_probability, readings))
    return -np.log(p) if p > 0 else np.inf


def check():
    "Grids with one object of two cells: all their probabilities together are the share of them that is drawn."
    inside = set(cells_of(BOARD))
    pairs = {1 << a | 1 << a + step for a, step in product(inside, STEPS) if a + step in inside}
    expected = (N_COLORS - 1)*sum(scene_probability({pair}) for pair in pairs)
    grids, factors = drawing.make_grids(100_000, seed=1)
    drawn = (drawing.count_drawn(factors) == 1) & ((grids > 0).sum((1, 2)) == 2)
    error = (expected*(1 - expected)/len(drawn))**.5
    assert abs(drawn.mean() - expected) < 4*error, f"expected {expected:.4f} ± {error:.4f}, drawn {drawn.mean():.4f}"


def main():
    n = int(sys.argv[1])
    check()
    corpus = open_corpus(make_config("default"), "outputs/corpus")
    cost = np.array([scene_cost(*pair) for pair in zip(corpus.test[:n].numpy(), corpus.factors["test"][:n])])
    finite = cost[np.isfinite(cost)]
    mean, (low, high) = mean_interval(finite)
    print(f"at most {mean:.2f} nats a grid, 95 % interval {low:.2f} to {high:.2f}: "
          f"{len(finite):,} test grids, {len(cost) - len(finite)} left out, for which no history is counted")

if __name__ == "__main__": main()

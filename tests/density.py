"""Counts of the house's habits, printed by `python tests/density.py`; test_sources.py holds their limits.

Syntax nodes a line of each module (nanoGPT has 9.0, fastcore's basics 8.2), and how notebooks are built: exported cells
of more than 30 lines or with several public definitions, public names that no demo of their notebook uses, exported
definitions that are followed by a demo or by another export.
"""
import ast
import re
from collections import defaultdict
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT/"arc_vae"
NOTEBOOKS = sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def density():
    "Nodes and lines that are not blank, by module."
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = sum(bool(line.strip()) for line in text.splitlines())
        if path.name == "_modidx.py" or not lines: continue
        nodes = sum(1 for _ in ast.walk(ast.parse(text)))
        found[str(path.relative_to(PACKAGE))] = nodes, lines
    return found


def mean(found): return sum(nodes for nodes, _ in found.values())/sum(lines for _, lines in found.values())


def is_exported(cell): return cell.source.startswith("#| export")


def definitions(cell):
    "Names of the functions and classes that an exported cell defines."
    return [node.name for node in ast.parse(cell.source).body if isinstance(node, DEFINITION)]


def count_cells(
    notebooks=NOTEBOOKS,  # Paths
)->dict:                  # What was counted -> names with their notebooks
    "How exported cells are built and shown; a definition at the end of a notebook has no export after it."
    found = defaultdict(list)
    for path in notebooks:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        demos = "\n".join(cell.source for cell in cells if not is_exported(cell))
        for cell, following in zip(cells, [*cells[1:], None]):
            if not is_exported(cell) or not (names := definitions(cell)): continue
            public = [name for name in names if name[0] != "_"]
            if len(cell.source.splitlines()) > 31: found["long"].append(f"{path.stem}: {cell.id}")
            if len(public) > 1: found["several names"].append(f"{path.stem}: {', '.join(public)}")
            then = "then export" if following and is_exported(following) else "then demo"
            found[then].append(f"{path.stem}: {names[0]}")
            for name in public:
                shown = re.search(rf"\b{name}\b", demos)
                found["shown" if shown else "not shown"].append(f"{path.stem}: {name}")
    return found


if __name__ == "__main__":
    for name, (nodes, lines) in density().items():
        print(f"{name:28} {nodes/lines:5.1f} nodes a line, {lines:5,} lines")
    print(f"{'mean':28} {mean(density()):5.1f}")
    for what, where in count_cells().items():
        print(f"{len(where):5} {what}")
        if what in ("long", "several names", "not shown"): print(*where, sep="\n")

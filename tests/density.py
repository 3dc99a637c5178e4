"""Counts of the house's habits, printed by `python tests/density.py`; test_sources.py holds their limits.

A node is one of Python's syntax tree; nanoGPT has 9.0 of them a line, fastcore's basics 8.2.
"""
import ast
import re
from collections import defaultdict
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(p for p in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def is_exported(cell): return cell.source.startswith("#| export")


def writes_module(path): return "#| default_exp " in path.read_text(encoding="utf-8")


def count_modules():
    "Nodes, lines that are not blank, and lines of each module."
    found = {}
    for path in sorted((ROOT/"arc_vae").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name == "_modidx.py" or not text: continue
        lines = text.splitlines()
        nodes = sum(1 for _ in ast.walk(ast.parse(text)))
        found[str(path.relative_to(ROOT))] = nodes, sum(bool(line.strip()) for line in lines), len(lines)
    return found


def find_cells():
    "Exported definitions, {what is counted: where}: how long they are, what they define, whether demos show it."
    found = defaultdict(list)
    for path in NOTEBOOKS:
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        demos = "\n".join(cell.source for cell in cells if not is_exported(cell))
        for cell, following in zip(cells, [*cells[1:], None]):
            if not is_exported(cell): continue
            names = [node.name for node in ast.parse(cell.source).body if hasattr(node, "name")]
            if not names: continue
            public = [name for name in names if name[0] != "_"]
            if len(cell.source.splitlines()) > 31: found["long"].append(f"{path.stem}: {cell.id}")
            if len(public) > 1: found["crowded"].append(f"{path.stem}: {', '.join(public)}")
            found["then export" if following and is_exported(following) else "then demo"].append(cell.id)
            for name in public:
                shown = re.search(rf"\b{name}\b", demos)
                found["shown" if shown else "not shown"].append(f"{path.stem}: {name}")
    return found


def count():
    "What test_sources.py limits."
    modules, cells = count_modules(), defaultdict(int) | {name: len(found) for name, found in find_cells().items()}
    nodes, written, lines = (sum(numbers) for numbers in zip(*modules.values()))
    return dict(
        lines=lines, nodes_a_line=nodes/written, nodes_a_line_of_the_densest=max(n/w for n, w, _ in modules.values()),
        long_cells=cells["long"], cells_of_several_names=cells["crowded"],
        share_shown=cells["shown"]/(cells["shown"] + cells["not shown"]),
        demos_to_exports=cells["then demo"]/max(1, cells["then export"]))


if __name__ == "__main__":
    for name, (nodes, written, lines) in count_modules().items():
        print(f"{nodes/written:5.1f} nodes a line, {lines:4} lines: {name}")
    for name in ("long", "crowded", "not shown"): print(f"\n{name}", *find_cells()[name], sep="\n    ")
    print("", *(f"{name.replace('_', ' ')}: {number:.4g}" for name, number in count().items()), sep="\n")

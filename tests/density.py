"""Syntax nodes a line of each module, printed by `python tests/density.py`; nanoGPT has 9.0, fastcore's basics 8.2."""
import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]/"arc_vae"


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


if __name__ == "__main__":
    found = density()
    for name, (nodes, lines) in found.items(): print(f"{name:28} {nodes/lines:5.1f} nodes a line, {lines:5,} lines")
    print(f"{'mean':28} {mean(found):5.1f}")

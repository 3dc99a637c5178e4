"""Notebooks without the state of their widgets, which nbdev_clean keeps: `python tests/widget_state.py` drops it."""
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]/"nbs"
NOTEBOOKS = sorted(p for p in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def with_state():
    "The notebooks that hold any."
    return [p for p in NOTEBOOKS if "widgets" in json.loads(p.read_text(encoding="utf-8"))["metadata"]]


def drop(path):
    "Take it out of a notebook and leave the rest as it is written."
    nb = json.loads(path.read_text(encoding="utf-8"))
    del nb["metadata"]["widgets"]
    path.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for path in with_state():
        drop(path)
        print(f"{path.name}: widget state dropped")

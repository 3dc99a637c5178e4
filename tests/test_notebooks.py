"""Every notebook runs from its first cell to its last, as nbdev_test would run it."""
from pathlib import Path

import pytest
from conftest import ROOT
from nbdev.config import get_config
from nbdev.test import test_nb as run_notebook

run_notebook.__test__ = False  # nbdev's name for it looks like a test to pytest
NOTEBOOKS = sorted(p for p in (ROOT/"nbs").rglob("[!_.]*.ipynb") if ".ipynb_checkpoints" not in p.parts)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: str(p.relative_to(ROOT/"nbs")))
def test_notebook(notebook: Path, capfd, monkeypatch):
    monkeypatch.setenv("IN_TEST", "1")  # nbdev sets it and leaves it set, which would make a later export do nothing
    monkeypatch.delenv("ARC_VAE_RUN", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    passed, _ = run_notebook(notebook, skip_flags=get_config(cfg_name=ROOT/"settings.ini").tst_flags.split())
    assert passed, capfd.readouterr().err

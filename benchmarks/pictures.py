"""The pictures in the README, from what the repository keeps: the trained model of results/default-seed0.pth.

    python benchmarks/pictures.py                   # all of them, into assets/
    python benchmarks/pictures.py explorer          # one of them
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

from arc_vae.infra.files import write_json
from arc_vae.evaluate import evaluate
from arc_vae.report.figures import figure_reconstructions
from arc_vae.report.latent_map import projections
from arc_vae.latent_viz import figure_operators
from arc_vae.sample import figure_samples, sample
from arc_vae.infra.runs import open_run
from arc_vae.training.settings import make_config, open_corpus

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ASSETS = ROOT/"assets"


def kept_run(folder):
    "The run that results/default-seed0 was kept of, with its corpus, as far as pictures need it."
    kept = json.loads((HERE/"results"/"default-seed0.json").read_text(encoding="utf-8"))
    cfg = make_config("default", wandb="disabled")
    corpus = open_corpus(cfg, ROOT/"outputs"/"corpus")
    wanted = kept["corpus"]["sha256"]
    if corpus.sha256 != wanted:
        raise SystemExit(f"{corpus.path}: expected sha256 {wanted[:12]}, found {corpus.sha256[:12]}; "
                         "remove it, and it is made again")
    run = folder/"default"
    (run/"checkpoints").mkdir(parents=True)
    open_run(run, cfg, corpus)
    write_json(run/"training.json", kept["training"] | dict(status=kept["status"]))
    shutil.copy(HERE/"results"/"default-seed0.pth", run/"checkpoints"/"vae_best.pth")
    metrics = evaluate(run, "cpu", "disabled")
    found, said = (m["test"]["pixel_accuracy"] for m in (metrics, kept))
    if abs(found - said) > 1e-4:
        raise SystemExit(f"pixel accuracy: expected {said:.4f} as in the kept metrics, found {found:.4f}")
    return run


def calculating(run, to): figure_operators(run).savefig(to, dpi=90, metadata={"Software": None})


def reconstructions(run, to): figure_reconstructions(run).savefig(to, dpi=90, metadata={"Software": None})


def samples(run, to):
    sample(run, device="cpu", wandb="disabled")
    figure_samples(run).savefig(to, dpi=90, metadata={"Software": None})


def explorer(run, to):
    "The explorer on a test grid, as it looks in JupyterLab."
    sys.path.insert(0, str(ROOT/"tests"))
    from browsing import find_chromium, jupyter_lab, opened
    if not (chromium := find_chromium()): raise SystemExit("no Chromium here: `apt-get install chromium`")
    projections(run)
    with (tempfile.TemporaryDirectory() as home, jupyter_lab(run, Path(home)) as address,
          opened(address, chromium, width=1400, device_scale_factor=1.25) as person):
        person.decoded.focus()
        person.page.keyboard.press("n")
        person.page.keyboard.press("ArrowDown")
        person.page.get_by_text("z = move(vae, z, down=1, right=0, object=0)", exact=True).wait_for()
        person.page.locator(".jp-OutputArea-output").last.screenshot(path=to)


PICTURES = dict(calculating=calculating, reconstructions=reconstructions, samples=samples, explorer=explorer)

if __name__ == "__main__":
    wanted = sys.argv[1:] or list(PICTURES)
    if unknown := set(wanted) - set(PICTURES):
        raise SystemExit(f"expected some of {', '.join(PICTURES)}, found {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        run = kept_run(Path(folder))
        for name in wanted:
            PICTURES[name](run, ASSETS/f"{name}.png")
            print(f"assets/{name}.png: {(ASSETS/f'{name}.png').stat().st_size/1e3:.0f} kB")

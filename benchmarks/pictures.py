"""The pictures in the README and docs/results.md, drawn from outputs/default-seed0 into assets/.

    arc-vae run --run default-seed0 --set threads=1     # 3 minutes, the same weights as the model that is shipped
    python benchmarks/pictures.py                       # all of them
    python benchmarks/pictures.py explorer              # one of them
"""
import sys
import tempfile
from pathlib import Path

from arc_vae.latent_viz import figure_operators
from arc_vae.report.figures import figure_reconstructions
from arc_vae.sample import figure_samples

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT/"outputs"/"default-seed0"
FIGURES = dict(calculating=figure_operators, reconstructions=figure_reconstructions, samples=figure_samples)


def draw_explorer(to):
    "A screenshot of the explorer on a test grid, as it looks in JupyterLab."
    sys.path.insert(0, str(ROOT/"tests"))
    from browsing import find_chromium, jupyter_lab, opened
    if not (chromium := find_chromium()): raise SystemExit("no Chromium here: `apt-get install chromium`")
    with (tempfile.TemporaryDirectory() as home, jupyter_lab(RUN, Path(home)) as address,
          opened(address, chromium, width=1400, device_scale_factor=1.25) as person):
        person.decoded.focus()
        person.page.keyboard.press("n")
        person.page.keyboard.press("ArrowDown")
        person.page.get_by_text("z = move(vae, z, down=1, right=0, object=0)", exact=True).wait_for()
        run = "text => text.value = text.value.replace(/load\\('.*?'\\)/, \"load('outputs/default-seed0')\")"
        person.page.locator("textarea").first.evaluate(run)  # not the folder that this picture was made in
        person.page.locator(".jp-OutputArea-output").last.screenshot(path=to)


if __name__ == "__main__":
    for name in sys.argv[1:] or (*FIGURES, "explorer"):
        path = ROOT/"assets"/f"{name}.png"
        if name == "explorer": draw_explorer(path)
        elif name in FIGURES:
            how = dict(dpi=90, bbox_inches="tight", pad_inches=.05, metadata={"Software": None})
            FIGURES[name](RUN).savefig(path, **how)
        else: raise SystemExit(f"expected some of {', '.join(FIGURES)}, explorer, found {name}")
        print(f"assets/{name}.png: {path.stat().st_size/1e3:.0f} kB")

"""Settings of Sphinx, for `make docs`: the site is made of what git keeps; nothing is executed or fetched."""
import re
import sys
from configparser import ConfigParser
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from api_pages import write_pages  # noqa: E402  (it lies beside this file)

ini = ConfigParser(delimiters=["="])
ini.read(HERE.parent/"settings.ini")
project = ini["DEFAULT"]["title"]
author = ini["DEFAULT"]["author"]
version = release = ini["DEFAULT"]["version"]
copyright = ini["DEFAULT"]["copyright"]

# The root of the repository is the root of the site, so that links lead where they lead on disk.
root_doc = "docs/index"
include_patterns = ["*.md", "arc_vae/static/*.md", "docs/**.md", "nbs/**.ipynb", "benchmarks/*.md"]
exclude_patterns = [".*", "outputs", "_*", "**/.ipynb_checkpoints"]

extensions = ["myst_nb"]
nb_execution_mode = "off"
# There is no kernel behind a page: what stands beside a widget's view is shown instead.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = project
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
toc_object_entries_show_parents = "hide"


def mathml(translator, node):
    "A formula as MathML, which browsers draw without scripts and fonts of others."
    tex = node.astext().replace(r"\mathrel", "")  # docutils does not know it, and it is about spaces only
    try:
        translator.body.append(tex2mathml(tex, as_block=isinstance(node, nodes.math_block)))
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", tex, error, location=node)
    raise nodes.SkipNode


ROOM = """```{{toctree}}
:caption: nbs/{room}
:maxdepth: 1
:glob:

../nbs/{room}/*
```
"""


def list_rooms(app, page, source):
    "The notebooks of each folder in `nbs`, in the order of docs/notebooks.md, where the first page asks for them."
    if page != app.config.root_doc: return
    rooms = dict.fromkeys(re.findall(r"^\| `(\w+)/", (HERE/"notebooks.md").read_text(encoding="utf-8"), re.M))
    source[0] = source[0].replace("<!-- rooms -->", "\n".join(ROOM.format(room=room) for room in rooms))


def front_page(app, exception):
    "The address of the site itself leads to its first page."
    page = app.builder.get_target_uri(app.config.root_doc)
    here = f'<!doctype html><meta http-equiv="refresh" content="0; url={page}"><a href="{page}">{project}</a>\n'
    (Path(app.outdir)/"index.html").write_text(here, encoding="utf-8")


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(mathml, None), block_renderers=(mathml, None))
    app.connect("config-inited", lambda app, config: write_pages(HERE.parent/"arc_vae", HERE/"api"))
    app.connect("source-read", list_rooms)
    app.connect("build-finished", front_page)

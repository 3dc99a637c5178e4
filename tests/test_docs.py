"""What the site is made of: pages that lead to one another, and the API."""
import ast
import re
import sys

import nbformat
from conftest import ROOT
from density import NOTEBOOKS, writes_module

sys.path.insert(0, str(ROOT/"docs"))
from api_pages import write_pages  # noqa: E402  (it lies beside the pages)

PAGES = [*ROOT.glob("*.md"), *(ROOT/"docs").glob("*.md"), *(ROOT/"benchmarks").glob("*.md")]


def anchors(path):
    "What the headings of a page are called in links."
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(path, text):
    "The links and pictures of a page that lead nowhere; addresses elsewhere are not looked at."
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target: continue
        file, _, anchor = target.partition("#")
        there = path.parent/file if file else path
        if not there.is_file() or (anchor and anchor not in anchors(there)): found.append(target)
    return found


def test_links_lead_somewhere(tmp_path):
    (tmp_path/"page.md").write_text("# One *heading*, here\n")
    text = "[a](page.md#one-heading-here) [b](#two) [c](gone.md) [d](https://example.org/x)"
    assert broken(tmp_path/"page.md", text) == ["#two", "gone.md"]
    assert {path.name: found for path in PAGES if (found := broken(path, path.read_text(encoding="utf-8")))} == {}
    for path in NOTEBOOKS:
        told = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
        assert broken(path, "\n".join(told)) == [], path.name


def test_the_first_page_lists_every_page():
    listed = re.findall(r"^(?:[\w ]+<)?([\w./]+)>?$", (ROOT/"docs"/"index.md").read_text(encoding="utf-8"), re.M)
    there = {(ROOT/"docs"/name).with_suffix(".md").resolve() for name in listed}
    assert {path for path in PAGES if path.parent.name != "benchmarks"} <= there | {ROOT/"docs"/"index.md"}


def test_every_public_name_has_an_entry_with_its_source(tmp_path):
    (tmp_path/"gone.md").write_text("of a module that is gone")
    write_pages(ROOT/"arc_vae", tmp_path)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.md")}
    assert len(pages) == sum(map(writes_module, NOTEBOOKS))
    for name, text in pages.items():
        source = (ROOT/"arc_vae"/name.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        public = ast.literal_eval(re.search(r"^__all__ = (\[.*?\])$", source, re.M | re.S)[1])
        entries = re.findall(r"^````\{py:(?:function|class|data)\} (\w+)$", text, re.M)
        assert sorted(entries) == sorted(public), name
    assert re.search(r"^    mu:Tensor, +# ", pages["model"], re.M), "comments of arguments are shown"

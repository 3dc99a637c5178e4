"""Pages of the API: the source of every public name, for its comments say shape, dtype and unit."""
import ast
import re
from pathlib import Path

PAGE = """# {module}

```{{py:module}} {module}
```

{text}

Written from [{notebook}](../../nbs/{notebook}).

{entries}
"""
ENTRY = """````{{py:{kind}}} {name}

```python
{source}
```
````
"""
KINDS = {ast.ClassDef: "class", ast.FunctionDef: "function"}


def names_of(node):
    "Names that a statement of a module defines."
    if hasattr(node, "name"): return [node.name]
    return [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]


def page(path, package):
    "The page of a module; empty where it exports nothing."
    source = path.read_text(encoding="utf-8")
    notebook = re.search(r"File to edit: (?:\.\./)+nbs/(\S+\.ipynb)", source)
    tree = ast.parse(source)
    public = next((ast.literal_eval(node.value) for node in tree.body if "__all__" in names_of(node)), [])
    if not notebook or not public: return ""
    entries = []
    for node in tree.body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        text = "\n".join(source.splitlines()[first - 1:node.end_lineno])
        kind = KINDS.get(type(node), "data")
        entries += [ENTRY.format(kind=kind, name=name, source=text) for name in names_of(node) if name in public]
    module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    text = ast.get_docstring(tree) or ""
    return PAGE.format(module=module, text=text, notebook=notebook[1], entries="\n".join(entries))


def write_pages(package, folder):
    "A page for each module of a package, written only where it changed; those of modules that are gone are removed."
    folder.mkdir(exist_ok=True)
    pages = {}
    for path in Path(package).rglob("*.py"):
        if text := page(path, package): pages[".".join(path.relative_to(package).with_suffix("").parts) + ".md"] = text
    for path in folder.glob("*.md"):
        if path.name not in pages: path.unlink()
    for name, text in pages.items():
        if not (folder/name).exists() or (folder/name).read_text(encoding="utf-8") != text:
            (folder/name).write_text(text, encoding="utf-8")

"""Pages of the API: public names with their signatures as written, for the comments say shape, dtype and unit."""
import ast
import re
from pathlib import Path

PAGE = """# {name}

```{{py:module}} {name}
```

{text}

Written from [{notebook}](../../nbs/{notebook}).

{entries}
"""

ENTRY = """````{{py:{kind}}} {name}

```python
{source}
```

{text}
````
"""

METHOD = (ast.FunctionDef, ast.AsyncFunctionDef)


def source_of(lines, node, end=None):
    "The lines of a definition, from its decorators to its body, or to the position `end`."
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    last, column = end or (node.body[0].lineno, node.body[0].col_offset)
    return "\n".join([*lines[first - 1:last - 1], lines[last - 1][:column]]).rstrip()


def class_source(lines, node):
    "A class without its docstring and the bodies of its methods: bases, fields and the public methods' signatures."
    parts = [source_of(lines, node)]
    for member in node.body:
        if isinstance(member, ast.AnnAssign):
            first = member.lineno - 1
            while lines[first - 1].lstrip().startswith("#"): first -= 1  # a comment that found no room beside its field
            parts += lines[first:member.end_lineno]
        if isinstance(member, METHOD) and (member.name == "__init__" or member.name[0] != "_"):
            parts.append(source_of(lines, member))
            if ast.get_docstring(member): parts.append(f'        "{ast.get_docstring(member)}"')
    return "\n".join(parts)


def entry(lines, node, name):
    "The text about one name and what defines it."
    text = ""
    if isinstance(node, ast.ClassDef):
        kind, source = "class", class_source(lines, node)
    elif isinstance(node, METHOD):
        kind, source = "function", source_of(lines, node)
    else:
        kind, source = "data", "\n".join(lines[node.lineno - 1:node.end_lineno])
    if kind != "data": text = ast.get_docstring(node) or ""
    return ENTRY.format(kind=kind, name=name, source=source, text=text)


def names_of(node):
    "What a statement of a module defines."
    if isinstance(node, ast.Assign):
        return [target.id for target in ast.walk(node.targets[0]) if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign): return [node.target.id]
    return [node.name] if hasattr(node, "name") else []


def page(path, package):
    "The page of a module; None where it exports nothing."
    source = path.read_text(encoding="utf-8")
    notebook = re.search(r"File to edit: (?:\.\./)+nbs/(\S+\.ipynb)", source)
    tree = ast.parse(source)
    public = next((ast.literal_eval(node.value) for node in tree.body if names_of(node) == ["__all__"]), [])
    if not notebook or not public: return None
    module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    entries = []
    for node in tree.body:
        entries += [entry(source.splitlines(), node, name) for name in names_of(node) if name in public]
    text = ast.get_docstring(tree) or ""
    return PAGE.format(name=module, text=text, notebook=notebook[1], entries="\n".join(entries))


def write_pages(package, folder):
    "A page for each module of a package, written only where it changed; those of modules that are gone go."
    folder.mkdir(exist_ok=True)
    pages = {}
    for path in sorted(Path(package).rglob("*.py")):
        text = page(path, package)
        if text: pages[".".join(path.relative_to(package).with_suffix("").parts) + ".md"] = text
    for path in folder.glob("*.md"):
        if path.name not in pages: path.unlink()
    for name, text in pages.items():
        if not (folder/name).exists() or (folder/name).read_text(encoding="utf-8") != text:
            (folder/name).write_text(text, encoding="utf-8")

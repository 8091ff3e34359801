"""What the site has beside the pages of this folder.

Pages link to the project's other files as they do on GitHub, `../SECURITY.md`. Those of `OUTSIDE`
become part of the site, at the same place below its root, so that it is read without network. The
keys of the report are read from `tuning/records/facts.py`.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/RESULTS.md", "LICENSE"),
    *("cluster.yaml", "clusters/gcp.yaml", "clusters/kubernetes.yaml", "clusters/on_premises.yaml"),
    *("clusters/aws_bucket_policy.json", "clusters/aws_head_policy.json"),
    "clusters/aws_trust.json",
)
FACTS = ROOT / "tuning" / "records" / "facts.py"
WHOLE = "Facts"  # the table that holds all others
KEYS = "<!-- keys -->"
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)(?=[)#])")


def on_files(files: Files, *, config: Any) -> Files:
    """Adds the files of `OUTSIDE`."""
    for name in OUTSIDE:
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turns links as GitHub has them into the site's; puts the keys where they belong."""
    place = page.file.src_uri
    folder = posixpath.dirname(place if place in OUTSIDE else f"docs/{place}")

    def linked(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        target = target.removeprefix("docs/").replace("README.md", "index.md")
        return posixpath.relpath(target, posixpath.dirname(place) or ".")

    return LINK.sub(linked, markdown).replace(KEYS, "\n".join(keys()))


@dataclass(frozen=True)
class Key:
    """One key of a table: a line of a TypedDict."""

    name: str
    kind: str
    comment: str
    since: bool  # reports of earlier versions may lack it


def tables() -> dict[str, tuple[str, list[Key]]]:
    """What each table of the report is, and its keys, with those of its bases.

    A TypedDict that only others are made of is no table of its own.
    """
    source = FACTS.read_text(encoding="utf-8")
    lines = source.splitlines()
    found: dict[str, tuple[str, list[Key]]] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        since = any(each.arg == "total" for each in node.keywords)
        own = [
            Key(each.target.id, ast.unparse(each.annotation), comment(lines, each), since)
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        ]
        bases = [each.id for each in node.bases if isinstance(each, ast.Name)]
        inherited = [key for base in bases if base in found for key in found[base][1]]
        found[node.name] = (ast.get_docstring(node) or "", own + inherited)
    kinds = " ".join(key.kind for _, rows in found.values() for key in rows)
    held = {WHOLE, *re.findall(r"\w+", kinds)}
    return {name: each for name, each in found.items() if name in held}


def comment(lines: list[str], node: ast.AnnAssign) -> str:
    """What the source says of a key: behind it, or in the lines before it."""
    behind = lines[node.lineno - 1][node.end_col_offset or 0 :].strip()
    if behind.startswith("#"):
        return behind.lstrip("# ")
    above = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join(above)


def keys() -> Iterator[str]:
    """The tables in Markdown, the whole first, each with links to those that it holds."""
    all_tables = tables()
    whole = {WHOLE: all_tables.pop(WHOLE)}
    for name, (about, rows) in (whole | all_tables).items():
        yield f"### {name}\n\n{about}\n\n| key | value | |\n|---|---|---|"
        for key in sorted(rows, key=lambda row: row.since):
            kind = ast.parse(key.kind, mode="eval").body
            yield f"| `{key.name}` | {in_words(kind, all_tables)} | {note(key)} |"
        yield ""


def in_words(node: ast.expr, known: Any) -> str:
    """A type as JSON has it, in words."""
    plain = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    if isinstance(node, ast.Constant):
        return "null" if node.value is None else f"`{node.value}`"
    if isinstance(node, ast.BinOp):
        return f"{in_words(node.left, known)} or {in_words(node.right, known)}"
    if isinstance(node, ast.Subscript):
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        parts = [in_words(each, known) for each in inside]
        outer = ast.unparse(node.value)
        if outer == "Mapping":
            return f"object of {parts[1]}"
        return " or ".join(parts) if outer == "Literal" else f"list of {parts[0]}"
    name = ast.unparse(node)
    if name == "Interval":
        return "[lower, upper]"
    return f"[{name}](#{name.lower()})" if name in known else plain.get(name, "any")


def note(key: Key) -> str:
    """A key's comment, and whether earlier versions lack it."""
    text = key.comment.replace("|", "\\|").replace("None", "null")
    return f"{text} *(may be missing)*" if key.since else text

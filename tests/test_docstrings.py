"""Sections of docstrings can be read by machines: every entry is an entry, and every name is there."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import falrt

PACKAGE = Path(falrt.__file__).parent
SECTIONS = {"Args", "Attributes", "Returns", "Yields", "Raises", "Source", "Note", "Example", "Examples"}
ENTRY = re.compile(r"    (\*{0,2}\w[\w, .*]*)(?: \([^)]*\))?:")


def sections(docstring: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and lines of each section."""
    name, lines = "", list[str]()
    for line in inspect.cleandoc(docstring).splitlines():
        head = re.fullmatch(r"(\w+):", line)
        if head and head[1] in SECTIONS:
            yield name, lines
            name, lines = head[1], []
        else:
            lines.append(line)
    yield name, lines


def names_of(node: ast.AST) -> list[str] | None:
    """Return what a section of entries must name; None where anything goes."""
    if isinstance(node, ast.ClassDef):
        is_dataclass = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
        fields = [
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign)
            and isinstance(each.target, ast.Name)
            and not ast.unparse(each.annotation).startswith("ClassVar")
        ]
        return [name for name in fields if not name.startswith("_")] if is_dataclass else None
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = node.args
        found = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        return [name for name in found if name not in {"self", "cls"} and not name.startswith("_")]
    return None


def problems(file: Path, source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        place = f"{file.name}:{getattr(node, 'lineno', 1)}"
        for section, lines in sections(ast.get_docstring(node, clean=False) or ""):
            if section not in {"Args", "Attributes", "Raises"}:
                continue
            entries = [line for line in lines if line.strip() and not line.startswith(" " * 5)]
            for line in entries:
                if line.startswith("    ") and not ENTRY.match(line):
                    yield f"{place}: {section}: no entry, and not indented as the rest of one: {line.strip()!r}"
            if section == "Raises":
                continue
            given = [
                name for line in entries if (match := ENTRY.match(line)) for name in match[1].split(", ")
            ]
            for name in names_of(node) or ():
                if name not in {each.lstrip("*") for each in given}:
                    yield f"{place}: {section}: {name} is missing"


def test_sections_hold_entries_and_name_everything() -> None:
    found = [
        problem for file in sorted(PACKAGE.rglob("*.py")) for problem in problems(file, file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("a: One.\n    b: Two,\n        and more.", None),
        ("a: One. b: Two.", "b is missing"),
        ("a: One.\n    b: Two,\n    and more.", "no entry"),
    ],
)
def test_the_reader_finds_what_is_mangled(entry: str, problem: str | None) -> None:
    source = (
        f'def f(a, b):\n    """Do.\n\n    Args:\n        {entry.replace(chr(10), chr(10) + "    ")}\n    """'
    )
    found = list(problems(Path("x.py"), source))
    assert (problem is None and not found) or (problem is not None and problem in found[0])

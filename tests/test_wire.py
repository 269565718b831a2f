"""Every wire fact has a test, and every mark a fact."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "reference" / "wire.md"
SOURCES = re.compile(r"\b(SRC|RUN|DOC|FIELD|INF)\b|specification")


def facts() -> dict[str, tuple[str, str]]:
    """Return text and source of each fact on the page."""
    rows = re.findall(r"^\| (W\d\d) \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len({number for number, _, _ in rows}) == len(rows), "an id stands twice"
    return {number: (text, source) for number, text, source in rows}


def marks() -> Iterator[tuple[str, str]]:
    """Yield the id and place of each mark under tests/."""
    for file in sorted(TESTS.rglob("test_*.py")):
        if "node_modules" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func) == "pytest.mark.wire"
            ):
                argument = node.args[0]
                assert isinstance(argument, ast.Constant), f"{file.name}:{node.lineno}: an id is written out"
                yield argument.value, f"{file.relative_to(TESTS)}:{node.lineno}"


def test_every_fact_has_a_test() -> None:
    proven = {number for number, _ in marks()}
    assert sorted(set(facts()) - proven) == []


def test_every_mark_has_a_fact() -> None:
    known = facts()
    assert [f"{place}: {number}" for number, place in marks() if number not in known] == []


def test_every_fact_names_its_source_and_is_a_sentence() -> None:
    for number, (text, source) in facts().items():
        assert text.endswith("."), number
        assert SOURCES.search(source), number


def test_facts_stand_in_their_order() -> None:
    assert list(facts()) == sorted(facts())


def test_docstrings_name_facts_of_the_page_only() -> None:
    known = facts()
    unknown = [
        f"{file.relative_to(ROOT)}: {number}"
        for file in sorted((ROOT / "falrt").rglob("*.py"))
        for number in re.findall(r"\bW\d\d\b", file.read_text())
        if number not in known
    ]
    assert unknown == []

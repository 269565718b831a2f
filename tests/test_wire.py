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


# What each fact is about. Whoever cites it says one of these nearby, so that a number cannot go astray unseen.
SUBJECTS = {
    "W01": "endpoint id|owner",
    "W02": "workflows|endpoint",
    "W03": "endpoint",
    "W04": "path",
    "W05": "host|fal.run|endpoint",
    "W10": "1000|close|sessions",
    "W11": "1011|1001|close",
    "W12": "refus|401|403",
    "W13": "handshake|upgrade",
    "W14": "101|accept|upgrade|handshake",
    "W15": "cold",
    "W16": "ping|handshake",
    "W17": "max_buffering|app keep",
    "W18": "max_size|1009|mib",
    "W19": "max_size|mib",
    "W20": "timings|control|realtime.py",
    "W21": "action|control",
    "W22": "timeout|idle|x-fal-error|control|runner",
    "W23": "x-fal-error|realtime.py|internal_error|the text is fal's|control",
    "W24": "unauthorized|control",
    "W25": '"status"|control',
    "W26": "text frame|control|text|codec",
    "W27": "json|control",
    "W30": "mode|stream|nil|runner",
    "W31": "drop|buffering",
    "W32": "drop|buffering",
    "W33": "drop|batch",
    "W34": "order|pairing",
    "W35": "request_id|pairing",
    "W36": "unanswered|pairing|lost|runner|sessions",
    "W40": "key|token",
    "W41": "key|token",
    "W42": "allowed_apps|alias|token",
    "W43": "realtime",
    "W44": "refus|token",
    "W45": "token",
    "W46": "status|token|sessions",
    "W47": "provider",
    "W48": "jwt|token",
    "W49": "token",
    "W50": "text|frame",
    "W51": "msgpack|map",
    "W52": "integer|float|msgpack",
    "W53": "timestamp|date|msgpack",
    "W54": "nest|utf-8|msgpack",
    "W55": "codec",
    "W60": "klein|models|every realtime model",
    "W61": "klein|data uri",
    "W62": "klein|raw bytes|models",
    "W63": "image_url|image_bytes|types|data uri|models",
    "W64": "request_id|address|types|data uri|answer|outputs",
    "W65": "size",
    "W66": "unknown|ignore|models|input",
    "W67": "steps|types",
    "W68": "ignores pictures|models",
    "W70": "error",
    "W71": "type|error",
    "W72": "model|error",
    "W73": "limit|error",
    "W74": "entrance|error",
    "W75": "server-sent|event",
    "W76": "queue",
    "W77": "queue",
    "W78": "queue|cancel",
    "W79": "http over websockets",
    "W80": "proxy",
    "W81": "storing|storage|upload",
    "W82": "storing|storage|upload",
}
CITATION = re.compile(r"\bW(\d\d)\b(?: to W(\d\d)\b)?")


def citations() -> Iterator[tuple[str, str, str]]:
    """Yield each cited fact with its place and the lines around it; of a range, both ends."""
    for file in sorted((ROOT / "falrt").rglob("*.py")):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            for match in CITATION.finditer(line):
                around = "\n".join([file.stem, *lines[max(0, number - 8) : number + 6]])
                for fact in filter(None, match.groups()):
                    yield f"W{fact}", f"{file.relative_to(ROOT)}:{number + 1}", around.lower()


def test_whoever_cites_a_fact_speaks_of_it() -> None:
    astray = [
        f"{place} cites {fact}" for fact, place, text in citations() if not re.search(SUBJECTS[fact], text)
    ]
    assert astray == []


def test_every_fact_has_a_subject() -> None:
    assert sorted(SUBJECTS) == sorted(facts())


def test_docstrings_name_facts_of_the_page_only() -> None:
    known = facts()
    unknown = [
        f"{file.relative_to(ROOT)}: {number}"
        for file in sorted((ROOT / "falrt").rglob("*.py"))
        for number in re.findall(r"\bW\d\d\b", file.read_text())
        if number not in known
    ]
    assert unknown == []

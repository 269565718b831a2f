"""The house rules that a machine can check: who may import what, and how long a file may be.

Imports are read, not run; those inside functions count like any other. What stands under ``if TYPE_CHECKING`` is
for readers only and may point anywhere.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import falrt

PACKAGE = Path(falrt.__file__).parent

# Lowest first. A module imports from lower floors and from its own room.
FLOORS = (
    ("exceptions", "typing", "cancellation"),
    ("protocol",),
    ("codecs", "media", "pacing"),
    ("models",),
    ("auth",),
    ("connection",),
    ("client",),
    ("sync",),
    ("testing",),
    ("local",),
    ("cli",),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}

# `python -m falrt` belongs to the commands.
ROOM_OF = {"__main__": "cli", "options": "connection"}

# `import falrt` gives everything up to here.
FRONT_DOOR = "sync"

# The core is pure: nothing here waits, reads a clock, rolls dice or talks.
PURE = {
    *(
        "__future__",
        "abc",
        "array",
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "itertools",
    ),
    *("operator", "types", "typing", "base64", "binascii", "bisect", "heapq", "json", "math", "re"),
    *("statistics", "string", "struct", "urllib.parse"),
}

# Third-party package -> the rooms and files that may import it. One that is not here may not be imported at all.
MAY_IMPORT = {
    "anyio": {"sync.py"},
    "av": {"cli"},
    "certifi": {"connection/transport.py"},
    "cv2": {"media", "cli"},
    "httpx": {"auth", "media/fetch.py"},
    "msgpack": {"codecs.py", "testing", "local"},
    "msgspec": {"codecs.py"},
    "numpy": {"media", "local", "cli"},
    "ormsgpack": {"codecs.py"},
    "PIL": {"media", "local", "cli"},
    "pybase64": {"media"},
    # Beside the models: where the local server and the commands read values that people write.
    "pydantic": {"models", "local", "cli"},
    "pydantic_core": {"models"},
    "pytest": {"testing/plugin.py", "testing/fixtures.py"},
    "rich": {"cli"},
    "simplejpeg": {"media"},
    "starlette": {"local"},
    "typer": {"cli"},
    "uvicorn": {"local"},
    "websockets": {"connection/transport.py", "connection/opening.py", "testing"},
}

# File -> why it is longer than 400 lines.
LONG = {
    "connection/connection.py": "every public method with its docstring; what they do is done elsewhere",
    "protocol/realtime.py": "the one place where the small machines meet; each decision has a file of its own already",
    "codecs.py": "four codecs share one set of limits and one search for the culprit",
}
LINES_MAX = 400


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, as written in one file."""

    file: Path
    line: int
    module: str

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(PACKAGE)}:{self.line} imports {self.module}"


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports_of(file: Path, *, source: str | None = None) -> Iterator[Import]:
    """Yield what a file imports when it runs."""
    pending: list[ast.AST] = [ast.parse(file.read_text() if source is None else source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            pending += node.orelse
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: imports are absolute in this house"
            module = node.module or ""
            yield from (Import(file, node.lineno, _full_name(module, alias.name)) for alias in node.names)


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _full_name(module: str, name: str) -> str:
    """``from falrt import media`` means the module; ``from falrt.media import data_uri`` its room."""
    if module == "falrt" and name in falrt._HOMES:
        return falrt._HOMES[name]
    if module == "falrt" and name in falrt._ROOMS:
        return falrt._ROOMS[name]
    path = PACKAGE.parent.joinpath(*module.split("."), name)
    return f"{module}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else module


@pytest.fixture(scope="module")
def all_imports() -> list[Import]:
    return [each for file in files() for each in imports_of(file)]


def room_of(path: Path) -> str:
    """Return the room of a file, or of a module given as a path without its suffix."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return ROOM_OF.get(first, first)


def climbs(each: Import) -> bool:
    """Whether an import of ours points at a higher floor, or at another room of its own floor."""
    parts = each.module.split(".")
    if parts[0] != "falrt" or each.file == PACKAGE / "__init__.py":
        return False
    room = room_of(each.file)
    target = FRONT_DOOR if parts == ["falrt"] else room_of(PACKAGE.joinpath(*parts[1:]))
    # A file without a floor is another test's finding.
    return target != room and FLOOR_OF.get(target, -1) >= FLOOR_OF.get(room, len(FLOORS))


def is_ours(module: str) -> bool:
    return module.split(".")[0] == "falrt"


def is_third_party(module: str) -> bool:
    return not is_ours(module) and module.split(".")[0] not in sys.stdlib_module_names


def test_every_file_belongs_to_a_room_with_a_floor() -> None:
    homeless = {room_of(file) for file in files()} - set(FLOOR_OF) - {"__init__"}
    assert not homeless


def test_imports_go_down_only(all_imports: list[Import]) -> None:
    assert [each.place for each in all_imports if climbs(each)] == []


def test_the_protocol_imports_nothing_that_waits_or_talks(all_imports: list[Import]) -> None:
    foreign = [
        each.place
        for each in all_imports
        if room_of(each.file) == "protocol"
        and not is_ours(each.module)
        and each.module not in PURE
        and each.module.split(".")[0] not in PURE
    ]
    assert foreign == []


def test_the_protocol_reads_no_clock_and_does_not_wait() -> None:
    waiting = [
        f"{file.name}:{node.lineno}"
        for file in (PACKAGE / "protocol").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert waiting == []


def test_each_library_stays_in_its_rooms(all_imports: list[Import]) -> None:
    strays = []
    for each in all_imports:
        if is_third_party(each.module):
            rooms = MAY_IMPORT.get(each.module.split(".")[0], set())
            path = each.file.relative_to(PACKAGE)
            if path.as_posix() not in rooms and path.parts[0] not in rooms:
                strays.append(each.place)
    assert strays == []


def test_no_file_is_too_long_without_a_reason() -> None:
    lengths = {file.relative_to(PACKAGE).as_posix(): len(file.read_text().splitlines()) for file in files()}
    too_long = {name: lines for name, lines in lengths.items() if lines > LINES_MAX and name not in LONG}
    assert too_long == {}


def test_every_reason_for_length_is_still_needed() -> None:
    assert [name for name in LONG if not (PACKAGE / name).exists()] == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "common", "misc", "base"}
    assert [file.name for file in files() if file.stem in vague] == []


# The reader itself: a rule that finds nothing proves nothing.


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("protocol/reconnect/backoff.py", "import falrt.codecs"),
        (
            "protocol/reconnect/backoff.py",
            "def f():\n    from falrt.connection.connection import RealtimeConnection",
        ),
        ("codecs.py", "from falrt import media"),
        ("media/fetch.py", "from falrt.auth import Key"),
        ("auth/threads.py", "from falrt import connect"),
        ("client.py", "import falrt"),
        ("testing/server.py", "from falrt.local import serve"),
    ],
)
def test_a_climb_is_found(file: str, source: str) -> None:
    assert [climbs(each) for each in imports_of(PACKAGE / file, source=source)] == [True]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("codecs.py", "if TYPE_CHECKING:\n    from falrt.client import Client"),
        ("codecs.py", "from falrt.exceptions import EncodeError"),
        ("connection/connection.py", "from falrt.connection.stream import Stream"),
        ("cli/main.py", "import falrt"),
        ("cli/main.py", "from falrt import connect"),
        ("codecs.py", "import json"),
        ("__init__.py", "from falrt.client import Client"),
    ],
)
def test_a_step_down_or_a_hint_for_readers_is_allowed(file: str, source: str) -> None:
    assert not any(climbs(each) for each in imports_of(PACKAGE / file, source=source))


def test_the_other_branch_of_a_type_checking_block_is_read() -> None:
    source = "if TYPE_CHECKING:\n    import httpx\nelse:\n    import json"
    assert [each.module for each in imports_of(PACKAGE / "codecs.py", source=source)] == ["json"]

"""The house rules that a machine can check: who may import what, and how long a file may be.

Imports are read, not run. Those inside functions and under ``if TYPE_CHECKING`` count like any other: a name that
only the reader needs is still a name that the reader must follow.
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
    ("exceptions", "typing", "version", "tasks", "threads"),
    ("protocol",),
    ("codecs", "events", "media", "pacing"),
    ("models",),
    ("auth",),
    ("connection",),
    ("http",),
    ("client",),
    ("batches",),
    ("sync",),
    ("compat",),
    ("server", "telemetry"),
    ("testing",),
    ("local",),
    ("cli",),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}

# `python -m falrt` belongs to the commands.
ROOM_OF = {"__main__": "cli", "options": "connection"}

# `import falrt` gives everything up to here.
FRONT_DOOR = "compat"

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
    *("codecs", "email.utils", "statistics", "string", "struct", "urllib.parse"),
}

# Third-party package -> the rooms and files that may import it. One that is not here may not be imported at all.
MAY_IMPORT = {
    "av": {"cli"},
    "certifi": {"connection/dialing.py"},
    "cv2": {"media", "cli"},
    "diskcache": {"batches/cache.py"},
    "distributed": {"batches/on_dask.py"},
    "h11": {"testing/http11.py"},
    "httpcore": {"auth/direct.py"},
    "httpx": {"auth", "compat.py", "http", "server", "media/fetch.py", "testing/platform/queue.py"},
    "msgpack": {"codecs.py", "batches/cache.py", "testing", "local"},
    "numpy": {"media", "models/image.py", "local", "cli"},
    "PIL": {"compat.py", "media", "models/image.py", "batches/sheet.py", "local", "cli"},
    "python_socks": {"connection/tunnel.py"},
    "pybase64": {"media"},
    # Beside the models: where the local server and the commands read values that people write.
    "pydantic": {"models", "local", "cli"},
    "pydantic_core": {"models", "local"},
    "pytest": {"testing/plugin.py", "testing/fixtures.py"},
    "opentelemetry": {"telemetry.py"},
    "redis": {"server/shared.py"},
    "rich": {"cli"},
    "simplejpeg": {"media"},
    "starlette": {"local", "server"},
    "typer": {"cli"},
    "websockets": {"connection/framing.py", "testing"},
    "uvicorn": {"local"},
}

# File -> why it is longer than 400 lines.
LONG = {
    "compat.py": "every name of fal_client with its arguments, twice: blocking and not",
    "connection/connection.py": "every public method with its docstring; what they do is done elsewhere",
}
LINES_MAX = 400

# What the two rules below still find; both lists only ever get shorter.
CIRCLES_LEFT: list[list[str]] = []
REACHES_LEFT: set[str] = set()


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
    """Yield every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text() if source is None else source)):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: imports are absolute in this house"
            module = node.module or ""
            yield from (Import(file, node.lineno, _full_name(module, alias.name)) for alias in node.names)


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


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of modules that can reach themselves through others (or themselves)."""
    reach: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        pending = [start]
        while pending:
            pending += [
                each for each in arrows.get(pending.pop(), ()) if each not in seen and not seen.add(each)
            ]
        reach[start] = seen
    groups: list[set[str]] = []
    for start, seen in reach.items():
        group = {start} | {each for each in seen if start in reach.get(each, ())}
        if (start in seen) and group not in groups:
            groups.append(group)
    return groups


def test_no_modules_import_each_other_in_a_circle(all_imports: list[Import]) -> None:
    front_door = PACKAGE / "__init__.py"
    arrows: dict[str, set[str]] = {module_of(file): set() for file in files() if file != front_door}
    for each in all_imports:
        if each.file != front_door and is_ours(each.module) and each.module in arrows:
            arrows[module_of(each.file)].add(each.module)
    found = [sorted(group) for group in circles(arrows)]
    assert [group for group in found if group not in CIRCLES_LEFT] == []
    assert [group for group in CIRCLES_LEFT if group not in found] == [], (
        "this circle is gone: take it off the list"
    )


def private_reaches(file: Path, *, source: str | None = None) -> list[str]:
    """Return where a file uses a private name that it does not define itself."""
    tree = ast.parse(file.read_text() if source is None else source)
    own = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    own |= {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    own |= {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"self", "cls"}
    }
    own |= {
        slot.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(each, ast.Name) and each.id == "__slots__" for each in node.targets)
        for slot in ast.walk(node.value)
        if isinstance(slot, ast.Constant) and isinstance(slot.value, str)
    }
    used = [(node.lineno, node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    used += [
        (node.lineno, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and is_ours(node.module or "")
        for alias in node.names
    ]
    place = file.relative_to(PACKAGE) if file.is_relative_to(PACKAGE) else file
    return [
        f"{place}:{line} uses {name}"
        for line, name in used
        if name.startswith("_") and not name.startswith("__") and name not in own
    ]


def test_no_private_name_crosses_a_file() -> None:
    found = {file.relative_to(PACKAGE).as_posix(): private_reaches(file) for file in files()}
    assert [each for name, reaches in found.items() if name not in REACHES_LEFT for each in reaches] == []
    assert [name for name in REACHES_LEFT if not found.get(name)] == [], (
        "nothing is reached for: take it off the list"
    )


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
        ("threads.py", "from falrt import connect"),
        ("client.py", "import falrt"),
        ("codecs.py", "if TYPE_CHECKING:\n    from falrt.client import Client"),
        ("testing/server.py", "from falrt.local import serve"),
    ],
)
def test_a_climb_is_found(file: str, source: str) -> None:
    assert [climbs(each) for each in imports_of(PACKAGE / file, source=source)] == [True]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("codecs.py", "from falrt.exceptions import EncodeError"),
        ("connection/connection.py", "from falrt.connection.stream import Stream"),
        ("cli/main.py", "import falrt"),
        ("cli/main.py", "from falrt import connect"),
        ("codecs.py", "import json"),
        ("__init__.py", "from falrt.client import Client"),
    ],
)
def test_a_step_down_is_allowed(file: str, source: str) -> None:
    assert not any(climbs(each) for each in imports_of(PACKAGE / file, source=source))


def test_imports_for_the_type_checker_count() -> None:
    source = "if TYPE_CHECKING:\n    import httpx\nelse:\n    import json"
    assert [each.module for each in imports_of(PACKAGE / "codecs.py", source=source)] == ["httpx", "json"]


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


def test_a_module_that_imports_itself_is_a_circle() -> None:
    assert circles({"a": {"a"}, "b": set()}) == [{"a"}]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(x):\n    return x._y", ["codecs.py:2 uses _y"]),
        ("from falrt.media import _fit", ["codecs.py:1 uses _fit"]),
        (
            "class A:\n    def __init__(self):\n        self._y = 1\n    def f(self, o):\n        return o._y",
            [],
        ),
        ("def f(x):\n    return x.__class__", []),
    ],
)
def test_a_private_name_of_another_file_is_found(source: str, found: list[str]) -> None:
    assert private_reaches(PACKAGE / "codecs.py", source=source) == found

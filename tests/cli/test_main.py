from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

import falrt

COMMANDS = ("serve", "proxy", "playground", "demo", "stream", "doctor", "types", "generate", "batch")


def test_help_names_the_commands(run: Callable[..., Result]) -> None:
    result = run("--help")

    told = [line.split()[0] for line in result.output.partition("Commands:")[2].splitlines() if line]
    assert told == list(COMMANDS)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_speaks_plainly_and_nothing_is_cut(run: Callable[..., Result], command: tuple[str, ...]) -> None:
    result = run(*command, "-h")

    assert result.exit_code == 0
    assert "..." not in result.output.partition("Options:")[2]
    assert "<" not in re.sub(r"\d?<=", "", result.output), "metavars are plain words"


def test_version(run: Callable[..., Result]) -> None:
    assert run("--version").output == f"falrt {falrt.__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from falrt.cli import main\n"
        "heavy = {'asyncio', 'rich', 'numpy', 'PIL', 'pydantic', 'httpx', 'websockets', 'starlette'}\n"
        "print(sorted(heavy.intersection(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_one_line_names_it(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from falrt.__main__ import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    if package == "typer":
        assert ended.returncode == 2
        assert ended.stderr == "falrt: the command line needs typer: pip install 'falrt[local]'\n"


def test_server_without_its_packages_names_the_extra(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name == "starlette" or name.startswith(("starlette.", "falrt.local."))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)

    result = run("demo", "--frames", 1)

    assert result.exit_code == 2
    assert "falrt[local]" in result.stderr

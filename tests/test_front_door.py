"""``import falrt``: what it offers, and what it costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import falrt

HEAVY = (
    *("asyncio", "ssl", "anyio", "httpx", "msgpack", "pydantic", "websockets"),
    *("cv2", "numpy", "PIL", "rich", "starlette", "typer", "uvicorn"),
)


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter; return the heavy modules that it loaded."""
    program = f"{code}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    # -I: neither the user's site nor the environment may load anything beforehand.
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", falrt.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(falrt, name) is not None
    assert name in dir(falrt)


@pytest.mark.parametrize("name", sorted(falrt._HOMES))
def test_a_public_name_is_public_at_home(name: str) -> None:
    home = importlib.import_module(falrt._HOMES[name])
    assert getattr(falrt, name) is getattr(home, name)
    assert name in home.__all__


@pytest.mark.parametrize("name", sorted(falrt._ROOMS))
def test_a_public_module_lists_its_names(name: str) -> None:
    room = getattr(falrt, name)
    assert room.__name__ == falrt._ROOMS[name]
    assert [each for each in room.__all__ if not hasattr(room, each)] == []


def test_a_name_is_looked_up_at_its_home_when_first_asked_for() -> None:
    for name in ("Backoff", "pacing"):
        vars(falrt).pop(name, None)
        assert getattr(falrt, name) is vars(falrt)[name]


def test_no_name_is_public_twice() -> None:
    assert len(set(falrt.__all__)) == len(falrt.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'falrt' has no attribute 'conect'"):
        falrt.conect  # noqa: B018 - the look-up is the test


def test_everything_can_be_imported_by_star() -> None:
    names: dict[str, object] = {}
    exec("from falrt import *", names)
    assert set(falrt.__all__) <= set(names)


def test_importing_falrt_loads_nothing_heavy() -> None:
    assert loaded_by("import falrt") == set()


def test_errors_states_and_policies_load_nothing_heavy() -> None:
    assert (
        loaded_by("import falrt; falrt.State, falrt.Backoff, falrt.pacing.Latest, falrt.ServerError") == set()
    )


def test_a_connection_that_is_not_opened_loads_no_network_and_no_models() -> None:
    loaded = loaded_by("import falrt; falrt.connect('acme/app', key='k')")
    assert loaded <= {"asyncio", "ssl", "msgpack"}


def test_a_model_loads_pydantic_and_no_pictures() -> None:
    assert loaded_by("import falrt; falrt.models.KLEIN") == {"pydantic"}


def test_the_pytest_plugin_loads_nothing_heavy() -> None:
    assert loaded_by("import falrt.testing.plugin") == set()


def test_the_command_line_loads_no_server_before_it_is_asked_to() -> None:
    assert not loaded_by("import falrt.cli.main") & {
        "starlette",
        "uvicorn",
        "numpy",
        "PIL",
        "httpx",
        "pydantic",
    }

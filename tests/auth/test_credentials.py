from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from falrt.auth import Key, Token, find_key
from falrt.exceptions import ConfigurationError, MissingCredentialsError

SECRET = "0f1e2d3c-id:4b5a69788796a5b4"


def colab(monkeypatch: pytest.MonkeyPatch, get: Callable[[str], Any]) -> None:
    module = types.ModuleType("google.colab")
    module.userdata = types.SimpleNamespace(get=get)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google.colab", module)


def test_a_given_key_comes_before_the_environment() -> None:
    assert find_key("given", environ={"FAL_KEY": "other"}).value == "given"


@pytest.mark.wire("W40")
def test_fal_key_comes_before_its_two_halves() -> None:
    environ = {"FAL_KEY": "whole", "FAL_KEY_ID": "id", "FAL_KEY_SECRET": "secret"}
    assert find_key(environ=environ).value == "whole"


@pytest.mark.wire("W40")
def test_the_two_halves_are_joined() -> None:
    assert find_key(environ={"FAL_KEY_ID": "id\n", "FAL_KEY_SECRET": " secret"}).value == "id:secret"


def test_the_environment_comes_before_colab(monkeypatch: pytest.MonkeyPatch) -> None:
    colab(monkeypatch, lambda name: "from-colab")
    assert find_key(environ={"FAL_KEY": "whole"}).value == "whole"


def test_a_colab_secret_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    colab(monkeypatch, {"FAL_KEY": " from-colab\n"}.__getitem__)
    assert find_key(environ={}).value == "from-colab"


def test_a_colab_secret_that_is_not_granted_or_empty_counts_as_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for get in ({}.__getitem__, lambda name: None, lambda name: ""):
        colab(monkeypatch, get)
        with pytest.raises(MissingCredentialsError):
            find_key(environ={})


def test_the_process_environment_is_used_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "from-process")
    assert find_key().value == "from-process"


def test_white_space_around_a_key_is_removed() -> None:
    assert find_key(f"  {SECRET}\r\n").value == SECRET
    assert find_key(environ={"FAL_KEY": f"{SECRET}\n"}).value == SECRET


def test_an_empty_variable_counts_as_absent() -> None:
    environ = {"FAL_KEY": " \n", "FAL_KEY_ID": "id", "FAL_KEY_SECRET": "secret"}
    assert find_key(environ=environ).value == "id:secret"


def test_without_any_key_the_error_names_every_cure() -> None:
    with pytest.raises(MissingCredentialsError, match=r"FAL_KEY .*key=.*token_provider=.*proxy_url="):
        find_key(environ={})


def test_an_empty_given_key_does_not_fall_back_silently() -> None:
    with pytest.raises(MissingCredentialsError, match="key is empty"):
        find_key("  ", environ={"FAL_KEY": "other"})


@pytest.mark.parametrize(
    ("present", "absent"), [("FAL_KEY_ID", "FAL_KEY_SECRET"), ("FAL_KEY_SECRET", "FAL_KEY_ID")]
)
def test_half_a_key_is_reported_as_such(present: str, absent: str) -> None:
    with pytest.raises(MissingCredentialsError, match=f"{absent} is not set"):
        find_key(environ={present: "half"})


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("0f1e 2d3c", "white space at position 4"),
        ("0f1e\n2d3c", "white space at position 4"),
        ("0f1e\x00", "keys never contain at position 4"),
        ("0f1eé", "keys never contain"),
        ("0f1e\u200b", "keys never contain"),
        ("Key 0f1e2d3c", "the word 'Key'"),
        ("'0f1e2d3c'", "quotes"),
        ('"0f1e2d3c', "quotes"),
    ],
    ids=ascii,
)
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(bad: str, why: str) -> None:
    for source, find in (
        ("key", lambda: find_key(bad)),
        ("FAL_KEY", lambda: find_key(environ={"FAL_KEY": bad})),
    ):
        with pytest.raises(ConfigurationError, match=why) as caught:
            find()
        assert str(caught.value).startswith(source)
        assert "0f1e" not in str(caught.value)


def test_a_key_is_checked_however_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match="white space"):
        Key("bad\nkey")


def test_a_key_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be a string, got bytes"):
        find_key(b"key")  # type: ignore[arg-type]


@pytest.mark.wire("W40")
def test_the_header_is_in_fals_form() -> None:
    assert Key(SECRET).header == f"Key {SECRET}"


def test_neither_key_nor_token_shows_in_text() -> None:
    shown = f"{Key(SECRET)} {Key(SECRET)!r} {Token(SECRET, 3.0)} {Token(SECRET)!r} {[Key(SECRET)]}"
    assert SECRET not in shown
    assert "Token(***, expires_in=3.0)" in shown

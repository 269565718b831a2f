from __future__ import annotations

from typing import Any

import pytest

from falrt.local.gate import Gate
from falrt.local.options import LocalOptions
from falrt.testing.tokens import make_token, read_claims

KLEIN = "fal-ai/flux-2/klein/realtime"


@pytest.fixture
def gate() -> Gate:
    return Gate(LocalOptions())


@pytest.mark.parametrize("header", ["Key abc:def", "key abc", "Bearer abc", " Key  abc "])
def test_any_key_opens(gate: Gate, header: str) -> None:
    assert gate.admits_key(header)


@pytest.mark.parametrize("header", [None, "", "Key", "Key  ", "abc", "Basic abc"])
def test_no_key_does_not(gate: Gate, header: str | None) -> None:
    assert not gate.admits_key(header)


def test_the_one_key_opens_where_there_is_one() -> None:
    gate = Gate(LocalOptions(key="right"))

    assert gate.admits_key("Key right")
    assert not gate.admits_key("Key wrong")


def test_everything_opens_where_keys_are_not_checked() -> None:
    gate = Gate(LocalOptions(check_keys=False))

    assert gate.admits_key(None)
    assert gate.admits_token(None, KLEIN)


@pytest.mark.parametrize("app", ["flux-2", "fal-ai/flux-2", KLEIN])
def test_token_covers_alias_id_and_path(gate: Gate, app: str) -> None:
    assert gate.admits_token(gate.mint({"allowed_apps": [app]}), KLEIN)


@pytest.mark.parametrize("app", ["realtime", "klein", "fal-ai", "fast-lcm-diffusion"])
def test_token_covers_nothing_else(gate: Gate, app: str) -> None:
    assert not gate.admits_token(gate.mint({"allowed_apps": [app]}), KLEIN)


@pytest.mark.parametrize("token", [None, "", "abc", "a.b.c"])
def test_what_is_no_token_of_ours_is_refused(gate: Gate, token: str | None) -> None:
    assert not gate.admits_token(token, KLEIN)


def test_expired_and_foreign_tokens_are_refused(gate: Gate) -> None:
    expired = make_token({"allowed_apps": ["flux-2"]}, lifetime=-1, secret=gate.secret)

    assert not gate.admits_token(expired, KLEIN)
    assert not gate.admits_token(Gate(LocalOptions()).mint({"allowed_apps": ["flux-2"]}), KLEIN)


def seconds(token: str) -> int:
    claims = read_claims(token)
    return int(claims["exp"]) - int(claims["iat"])


def test_token_lives_as_long_as_asked(gate: Gate) -> None:
    assert seconds(gate.mint({"allowed_apps": ["a"]})) == 60
    assert seconds(gate.mint({"allowed_apps": ["a"], "token_expiration": 5000})) == 5000
    assert seconds(gate.mint_realtime({"app": KLEIN}, [KLEIN])) == 120
    assert seconds(gate.mint_realtime({"app": "fal-ai/flux-2"}, [KLEIN])) == 10


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "allowed_apps"),
        ({}, "allowed_apps"),
        ({"allowed_apps": "a"}, "allowed_apps"),
        ({"allowed_apps": [1]}, "allowed_apps"),
        ({"allowed_apps": ["a"], "token_expiration": "60"}, "token_expiration"),
        ({"allowed_apps": ["a"], "token_expiration": 0}, "token_expiration"),
    ],
)
def test_bad_body_is_named(gate: Gate, body: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field) as caught:
        gate.mint(body)

    assert caught.value.args[0][0]["loc"] == ["body", field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"allowed_apps": ["a"]}, "app"),
        ({"app": 1}, "app"),
        ({"app": "fal-ai/flux-2/dev"}, "app"),
        ({"app": KLEIN, "token_expiration": 121}, "token_expiration"),
    ],
)
def test_bad_body_of_a_realtime_token_is_named(gate: Gate, body: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field) as caught:
        gate.mint_realtime(body, [KLEIN])

    assert caught.value.args[0][0]["loc"] == ["body", field]


def test_secret_is_not_shown(gate: Gate) -> None:
    assert "secret" not in repr(gate)

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falrt.protocol.wire.token_endpoints import (
    TokenEndpoint,
    asked_lifetime,
    endpoint_order,
    is_passing,
    may_ask_other,
    read_token,
    request_body,
    token_problem,
)

GENERAL, REALTIME = TokenEndpoint.GENERAL, TokenEndpoint.REALTIME
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE4MDAwMDAwMDB9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


def test_the_general_endpoint_is_asked_first_as_the_released_clients_do() -> None:
    assert endpoint_order(None, custom_path=False) == (GENERAL, REALTIME)


def test_a_custom_path_is_asked_for_at_the_realtime_endpoint_first() -> None:
    assert endpoint_order(None, custom_path=True) == (REALTIME, GENERAL)


def test_the_endpoint_that_worked_is_asked_first_the_next_time() -> None:
    assert endpoint_order(REALTIME, custom_path=False) == (REALTIME, GENERAL)
    assert endpoint_order(GENERAL, custom_path=True) == (GENERAL, REALTIME)


@pytest.mark.wire("W42")
def test_the_general_endpoint_is_sent_the_alias_alone() -> None:
    body = request_body(GENERAL, app_path="fal-ai/flux-2/klein/realtime", alias="flux-2", seconds=300)
    assert body == {"allowed_apps": ["flux-2"], "token_expiration": 300}


@pytest.mark.wire("W43")
def test_the_realtime_endpoint_is_sent_the_full_path_in_both_reported_forms() -> None:
    path = "fal-ai/flux-2/klein/realtime"
    assert request_body(REALTIME, app_path=path, alias="flux-2", seconds=60) == {
        "app": path,
        "allowed_apps": [path],
        "token_expiration": 60,
        "duration": 60,
    }


def test_lifetimes_are_whole_seconds_and_within_what_the_endpoint_gives() -> None:
    assert asked_lifetime(GENERAL, 5000) == 5000
    assert asked_lifetime(REALTIME, 5000) == 120
    assert asked_lifetime(REALTIME, 0.2) == 1
    assert asked_lifetime(GENERAL, 9.5) == 10


@pytest.mark.wire("W44")
def test_only_refusals_of_the_app_lead_to_the_other_endpoint() -> None:
    assert [status for status in range(400, 600) if may_ask_other(status)] == [403, 404, 422]


def test_only_overload_and_the_servers_own_trouble_are_passing() -> None:
    assert [status for status in range(200, 500) if is_passing(status)] == [408, 425, 429]
    assert all(is_passing(status) for status in range(500, 600))


@pytest.mark.wire("W45")
@pytest.mark.parametrize(
    "body",
    [
        json.dumps(JWT),
        f"  {json.dumps(JWT)}\n",
        json.dumps({"token": JWT}),
        json.dumps({"jwt": JWT}),
        json.dumps({"detail": JWT}),
        json.dumps({"detail": f"{JWT}\n"}),
        json.dumps({"token": JWT, "detail": "made for you"}),
        JWT,
        f"{JWT}\n",
    ],
)
def test_every_reported_form_of_a_token_is_read(body: str) -> None:
    assert read_token(body) == JWT


@pytest.mark.wire("W48")
def test_a_token_need_not_be_a_jwt() -> None:
    assert read_token('"opaque-token_1"') == "opaque-token_1"
    assert read_token('{"token": "opaque"}') == "opaque"


@pytest.mark.wire("W45")
@pytest.mark.parametrize(
    "body",
    [
        "",
        '""',
        "{}",
        "[]",
        "null",
        "12",
        '{"token": null}',
        '{"token": 7}',
        '{"detail": "Forbidden"}',
        '{"detail": ["a.b.c"]}',
        "<html><body>Sign in</body></html>",
        "<html></html>",
        "not a token",
        '{"token": "eyJ',
        '"two words"',
        '"tokén"',
        json.dumps("a" * 20_000),
        "[" * 100_000,
    ],
    ids=lambda body: body[:20],
)
def test_a_reply_without_a_token_gives_none(body: str) -> None:
    assert read_token(body) is None


@given(st.text())
def test_whatever_is_read_fits_into_a_url(body: str) -> None:
    token = read_token(body)
    assert token is None or not token_problem(token)


def test_a_usable_token_has_no_problem() -> None:
    assert token_problem(JWT) == ""

"""Keys and tokens, without a server; `tests/interop/test_one_fal.py` asks the servers the same things."""

from __future__ import annotations

import json
from typing import Any

import pytest

from falrt.testing.platform.gateway import Gateway
from falrt.testing.platform.jwt import make_token, read_claims
from falrt.testing.platform.port import Refused, Request

KLEIN = "fal-ai/flux-2/klein/realtime"
KEY = {"authorization": "Key test"}
NOW = 1_800_000_000.0


def ask(gateway: Gateway, path: str, body: Any, **more: Any) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request.arrived("POST", path, KEY, content)
    assert gateway.is_token_request(request)
    response = gateway.answer(request, NOW, **more)
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)


def token_of(gateway: Gateway, path: str, body: Any) -> str:
    status, answer = ask(gateway, path, body)
    assert status == 201, answer
    token = answer["token"] if isinstance(answer, dict) else answer
    assert isinstance(token, str)
    return token


def seconds(token: str) -> float:
    return float(read_claims(token)["exp"] - NOW)


def problem(gateway: Gateway, token: str, path: str = KLEIN, now: float = NOW) -> str | None:
    try:
        gateway.check(Request.arrived("GET", f"/{path}?fal_jwt_token={token}", {}), now)
    except Refused as exc:
        return str(exc)
    return None


@pytest.mark.parametrize("header", ["Key abc:def", "key abc", "Bearer abc", " Key  abc "])
def test_any_key_is_good_where_none_is_named(header: str) -> None:
    assert Gateway().has_good_key({"authorization": header})


@pytest.mark.parametrize("header", ["", "Key", "Key  ", "abc", "Basic abc"])
def test_no_key_is_not(header: str) -> None:
    assert not Gateway().has_good_key({"authorization": header})
    assert not Gateway().has_good_key({})


def test_only_the_named_key_is_good() -> None:
    assert Gateway(key="right").has_good_key({"authorization": "Key right"})
    assert not Gateway(key="right").has_good_key({"authorization": "Key wrong"})


def test_everybody_comes_in_without_auth() -> None:
    gateway = Gateway(auth=False)
    gateway.check(Request.arrived("GET", f"/{KLEIN}", {}), NOW)
    request = Request.arrived("POST", "/tokens/", {}, b'{"allowed_apps": ["a"]}')
    assert gateway.answer(request, NOW).status == 201


@pytest.mark.wire("W42")
@pytest.mark.parametrize("path", ["/tokens/", "/tokens"])
def test_the_general_endpoint_answers_with_a_bare_string(path: str) -> None:
    status, token = ask(Gateway(), path, {"allowed_apps": ["flux-2"], "token_expiration": 5000})
    assert (status, seconds(token)) == (201, 5000)
    assert seconds(token_of(Gateway(), path, {"allowed_apps": ["flux-2"]})) == 60


@pytest.mark.wire("W43")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("app", "cap"), [(KLEIN, 120), ("fal-ai/flux-2", 10), ("flux-2", 10)])
def test_the_realtime_endpoint_caps_the_lifetime_by_the_form_of_the_app(
    app: str, cap: int, strict: bool
) -> None:
    status, token = ask(Gateway(strict=strict), "/tokens/realtime", {"app": app})
    assert (status, seconds(token)) == (201, cap)


@pytest.mark.wire("W43")
def test_the_documented_form_is_answered_as_documented() -> None:
    status, answer = ask(Gateway(), "/tokens/realtime", {"allowed_apps": [KLEIN], "duration": 90})
    assert (status, list(answer), seconds(answer["token"])) == (201, ["token"], 90)
    assert problem(Gateway(), answer["token"]) is None


def test_a_body_of_both_forms_is_answered_as_the_schema_has_it() -> None:
    body = {"app": KLEIN, "allowed_apps": [KLEIN], "token_expiration": 30, "duration": 30}
    status, token = ask(Gateway(), "/tokens/realtime", body)
    assert (status, seconds(token)) == (201, 30)


def test_the_strict_gateway_refuses_what_only_the_pages_show() -> None:
    gateway = Gateway(strict=True, knows=lambda path: path == KLEIN)

    def fields(body: Any) -> list[str]:
        status, answer = ask(gateway, "/tokens/realtime", body)
        assert status == 422
        return [entry["loc"][1] for entry in answer["detail"]]

    assert fields({"allowed_apps": [KLEIN], "duration": 60}) == ["app"]
    assert fields({"app": "fal-ai/flux-2/dev"}) == ["app"]
    assert fields({"app": KLEIN, "token_expiration": 121}) == ["token_expiration"]
    assert not gateway.has_good_key({"authorization": "Bearer test"})
    assert problem(gateway, token_of(gateway, "/tokens/", {"allowed_apps": ["fal-ai/flux-2"]}))
    assert problem(gateway, token_of(gateway, "/tokens/", {"allowed_apps": ["flux-2"]})) is None


@pytest.mark.parametrize("app", ["flux-2", "fal-ai/flux-2", "fal-ai/flux-2/klein", KLEIN, f"/{KLEIN}/"])
def test_a_token_covers_by_alias_id_and_path(app: str) -> None:
    gateway = Gateway()
    assert problem(gateway, token_of(gateway, "/tokens/", {"allowed_apps": ["x", app]})) is None
    assert problem(gateway, token_of(gateway, "/tokens/realtime", {"app": app})) is None


@pytest.mark.parametrize("app", ["realtime", "klein", "fal-ai", "fast-lcm-diffusion", f"{KLEIN}/more"])
def test_a_token_covers_nothing_else(app: str) -> None:
    gateway = Gateway()
    token = token_of(gateway, "/tokens/", {"allowed_apps": [app]})
    assert problem(gateway, token) == "the token is for another app"


@pytest.mark.parametrize(("app", "covers"), [("wf", True), ("workflows/o/wf", True), ("o", False)])
def test_the_alias_of_a_namespaced_app_is_its_third_segment(app: str, covers: bool) -> None:
    gateway = Gateway()
    token = token_of(gateway, "/tokens/", {"allowed_apps": [app]})
    assert (problem(gateway, token, "workflows/o/wf/realtime") is None) is covers


@pytest.mark.parametrize("token", ["", "abc", "a.b.c"])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert problem(Gateway(), token) is not None


def test_old_expired_and_foreign_tokens_are_refused() -> None:
    gateway = Gateway()
    token = token_of(gateway, "/tokens/", {"allowed_apps": ["flux-2"]})
    assert problem(gateway, token) is None
    assert problem(gateway, token, now=NOW + 60) == "the token has expired"
    assert problem(Gateway(secret=b"another"), token) == "the token was not made here"
    gateway.expire_all()
    assert problem(gateway, token) == "the token has expired"
    assert problem(gateway, make_token("flux-2", issued_at=NOW)) is None, "made by a test"


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/tokens/", b"{", ["body"]),
        ("/tokens/", b"[" * 100_000, ["body"]),
        ("/tokens/", [], ["body", "allowed_apps"]),
        ("/tokens/", {"allowed_apps": [1]}, ["body", "allowed_apps"]),
        ("/tokens/", {"allowed_apps": ["a"], "token_expiration": "60"}, ["body", "token_expiration"]),
        ("/tokens/", {"allowed_apps": ["a"], "token_expiration": True}, ["body", "token_expiration"]),
        ("/tokens/", {"allowed_apps": ["a"], "token_expiration": 0}, ["body", "token_expiration"]),
        ("/tokens/realtime", {}, ["body", "app"]),
        ("/tokens/realtime", {"app": 1}, ["body", "app"]),
        ("/tokens/realtime", {"allowed_apps": ["a"], "duration": "1m"}, ["body", "duration"]),
    ],
)
def test_a_bad_body_is_a_422_that_names_the_field(path: str, body: Any, where: list[str]) -> None:
    gateway = Gateway()
    status, answer = ask(gateway, path, body)
    assert (status, answer["detail"][0]["loc"]) == (422, where)
    assert gateway.requests[0].status == 422


@pytest.mark.parametrize("form", ["token", "jwt", "detail"])
def test_a_token_may_come_in_a_map(form: Any) -> None:
    _, answer = ask(Gateway(token_reply=form), "/tokens/", {"allowed_apps": ["a"]})
    assert list(answer) == [form]


def test_lifetimes_can_be_set_for_all_and_spoiled_for_one() -> None:
    gateway = Gateway(token_lifetime=3)
    assert seconds(token_of(gateway, "/tokens/", {"allowed_apps": ["a"]})) == 3
    _, token = ask(gateway, "/tokens/", {"allowed_apps": ["a"]}, lifetime=-5.0)
    assert seconds(token) == -5


def test_neither_the_secret_nor_a_token_is_shown() -> None:
    gateway = Gateway()
    token = token_of(gateway, "/tokens/", {"allowed_apps": ["a"]})
    assert "secret" not in repr(gateway)
    assert token not in repr(gateway)

from __future__ import annotations

import base64
import json

import pytest

from falrt.testing.platform.jwt import is_signed, make_token, read_claims


def test_a_token_is_a_jwt_with_an_expiry() -> None:
    token = make_token({"allowed_apps": ["app"]}, lifetime=120, issued_at=1000.9)
    header, claims, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "typ": "JWT"}
    assert claims
    assert read_claims(token) == {"iat": 1000, "exp": 1120, "allowed_apps": ["app"]}


def test_a_token_can_be_made_for_an_app() -> None:
    assert read_claims(make_token("acme/app"))["app"] == "acme/app"


def test_short_lifetimes_keep_their_fraction() -> None:
    assert read_claims(make_token(lifetime=0.25, issued_at=1000.0))["exp"] == 1000.25


def test_claims_win_over_ours() -> None:
    assert read_claims(make_token({"exp": 5}))["exp"] == 5


def test_a_signature_belongs_to_its_secret_and_its_claims() -> None:
    token = make_token()
    assert is_signed(token)
    assert not is_signed(token, secret=b"other")
    assert not is_signed(make_token({"a": 1}).rpartition(".")[0] + "." + token.rpartition(".")[2])
    assert not is_signed("no dots")


@pytest.mark.parametrize("token", ["", "a.b", "a.!!.c", "a.bm9wZQ.c", "a.WzFd.c", "a.\u00e9.c"])
def test_what_is_no_jwt_is_said_to_be_none(token: str) -> None:
    with pytest.raises(ValueError, match="not a JWT"):
        read_claims(token)

"""What a security reviewer would put into x-fal-target-url."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from falrt.server.allowed import Allowed
from falrt.server.targets import Refused, Service, Target, judge

ALLOWED = Allowed.of(["fal-ai/flux/dev", "fal-ai/flux-2/klein", "acme/*"])


@pytest.mark.parametrize(
    ("method", "url", "target"),
    [
        ("POST", "https://fal.run/fal-ai/flux/dev", Target(Service.RUN, "/fal-ai/flux/dev")),
        ("POST", "https://fal.run/fal-ai/flux/dev/stream", Target(Service.RUN, "/fal-ai/flux/dev/stream")),
        ("POST", "https://fal.run/acme/app/any/path?x=1", Target(Service.RUN, "/acme/app/any/path", "x=1")),
        ("POST", "https://queue.fal.run/fal-ai/flux/dev", Target(Service.QUEUE, "/fal-ai/flux/dev")),
        (
            "GET",
            "https://queue.fal.run/fal-ai/flux/requests/0a-b_1/status?logs=1",
            Target(Service.QUEUE, "/fal-ai/flux/requests/0a-b_1/status", "logs=1", request_id="0a-b_1"),
        ),
        (
            "GET",
            "https://queue.fal.run/fal-ai/flux/requests/1/status/stream",
            Target(Service.QUEUE, "/fal-ai/flux/requests/1/status/stream", request_id="1"),
        ),
        (
            "GET",
            "https://queue.fal.run/fal-ai/flux/requests/1",
            Target(Service.QUEUE, "/fal-ai/flux/requests/1", request_id="1"),
        ),
        (
            "PUT",
            "https://queue.fal.run/fal-ai/flux/requests/1/cancel",
            Target(Service.QUEUE, "/fal-ai/flux/requests/1/cancel", request_id="1"),
        ),
        ("POST", "https://rest.fal.ai/tokens/", Target(Service.TOKENS, "/tokens/")),
        ("POST", "https://rest.fal.ai/tokens/realtime", Target(Service.TOKENS, "/tokens/realtime")),
    ],
)
def test_what_the_clients_ask_for_is_let_through(method: str, url: str, target: Target) -> None:
    assert judge(url, method, ALLOWED) == target


FORGED = [
    "http://fal.run/fal-ai/flux/dev",
    "HTTPS://fal.run/fal-ai/flux/dev",
    "ftp://fal.run/fal-ai/flux/dev",
    "//fal.run/fal-ai/flux/dev",
    "fal.run/fal-ai/flux/dev",
    "https:/fal.run/fal-ai/flux/dev",
    "https:\\\\fal.run\\fal-ai\\flux\\dev",
    "https://fal.run\\@evil.example/fal-ai/flux/dev",
    "https://evil.example\\@fal.run/fal-ai/flux/dev",
    # user names
    "https://fal.run@evil.example/fal-ai/flux/dev",
    "https://user:secret@fal.run/fal-ai/flux/dev",
    "https://@fal.run/fal-ai/flux/dev",
    "https://evil.example%40fal.run/fal-ai/flux/dev",
    # hosts that look alike
    "https://fal.run.evil.example/fal-ai/flux/dev",
    "https://evilfal.run/fal-ai/flux/dev",
    "https://sub.fal.run/fal-ai/flux/dev",
    "https://fal.run./fal-ai/flux/dev",
    "https://FAL.RUN/fal-ai/flux/dev",
    "https://fal。run/fal-ai/flux/dev",
    "https://fal．run/fal-ai/flux/dev",
    "https://ｆal.run/fal-ai/flux/dev",
    "https://fаl.run/fal-ai/flux/dev",  # a Cyrillic a
    "https://xn--fl-7sb.run/fal-ai/flux/dev",
    "https://fal%2erun/fal-ai/flux/dev",
    "https://fal.run%2f.evil.example/fal-ai/flux/dev",
    "https://fal.run%00.evil.example/fal-ai/flux/dev",
    # ports and addresses
    "https://fal.run:443/fal-ai/flux/dev",
    "https://fal.run:80/fal-ai/flux/dev",
    "https://fal.run:/fal-ai/flux/dev",
    "https://127.0.0.1/fal-ai/flux/dev",
    "https://2130706433/fal-ai/flux/dev",
    "https://0x7f.1/fal-ai/flux/dev",
    "https://[::1]/fal-ai/flux/dev",
    "https://[::ffff:127.0.0.1]/fal-ai/flux/dev",
    "https://[fe80::1%25eth0]/fal-ai/flux/dev",
    "https://169.254.169.254/latest/meta-data/",
    "https://localhost/fal-ai/flux/dev",
    # white space, controls and fragments
    " https://fal.run/fal-ai/flux/dev",
    "https://fal.run/fal-ai/flux/dev\r\nHost: evil.example",
    "https://fal.run/fal-ai/flux/dev\n",
    "https://fal.run/fal-ai/flux/dev HTTP/1.1",
    "https://fal.run/fal-ai/flux/dev\tx",
    "https://fal.run/fal-ai/flux/dev\x00",
    "https://fal.run/fal-ai/flux/dev#@evil.example",
    "https://evil.example#@fal.run/fal-ai/flux/dev",
    "https://evil.example?@fal.run/fal-ai/flux/dev",
    "https://fal.run?/fal-ai/flux/dev",
    # paths
    "https://fal.run",
    "https://fal.run/",
    "https://fal.run//fal-ai/flux/dev",
    "https://fal.run///evil.example/fal-ai/flux/dev",
    "https://fal.run/fal-ai//flux/dev",
    "https://fal.run/fal-ai/flux/dev//",
    "https://fal.run/fal-ai/flux/./dev",
    "https://fal.run/acme/../fal-ai/secret",
    "https://fal.run/acme/..%2f..%2ffal-ai/secret",
    "https://fal.run/acme/%2e%2e/fal-ai/secret",
    "https://fal.run/acme%2fapp",
    "https://fal.run/acme/app%5c..",
    "https://fal.run/acme/.../app",
    "https://fal.run/acme/app;x=1",
    "https://fal.run/acme",
    # other services of fal's
    "https://rest.fal.run/tokens/",
    "https://rest.alpha.fal.ai/tokens/",
    "https://api.fal.ai/v1/keys",
    "https://v3.fal.media/files/upload",
    "wss://fal.run/fal-ai/flux/dev/realtime",
    "https://fal.run/" + "a/" * 2000,
]


@pytest.mark.parametrize("url", FORGED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_url_that_is_not_fals_in_the_one_form_is_refused(url: str, method: str) -> None:
    with pytest.raises(Refused) as caught:
        judge(url, method, ALLOWED)
    assert caught.value.status == 412
    assert "evil" not in caught.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "https://fal.run/fal-ai/flux",
        "https://fal.run/fal-ai/flux/schnell",
        "https://fal.run/fal-ai/flux/dev/lora",
        "https://fal.run/fal-ai/flux/devil",
        "https://fal.run/fal-ai/flux/dev/requests/1/cancel",
        # Nothing but what the clients do to a request, though the pattern would stand for it.
        "https://queue.fal.run/acme/app/requests/1/response",
        "https://queue.fal.run/acme/app/requests/1/cancel/now",
        "https://queue.fal.run/fal-ai/other",
        "https://fal.run/workflows/acme/one",
        "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3",
        "https://rest.fal.ai/storage/auth/token",
        "https://rest.fal.ai/users/me",
        "https://rest.fal.ai/tokens/../users",
        "https://rest.fal.ai/tokens/evil",
        "https://fal.run/fal-ai/flux/dev?fal_jwt_token=stolen",
        "https://fal.run/fal-ai/flux/dev?x=1&fal%5Fjwt%5Ftoken=stolen",
        "https://queue.fal.run/fal-ai/flux/dev?fal_webhook=https://evil.example/hook",
        "https://queue.fal.run/fal-ai/flux/dev?a=1&FAL_webhook=https://evil.example/hook",
        "https://queue.fal.run/fal-ai/flux/dev?a=1&%2566al_webhook=x",
    ],
)
def test_what_is_fals_and_not_on_the_list_is_forbidden(url: str) -> None:
    with pytest.raises(Refused) as caught:
        judge(url, "POST", ALLOWED)
    assert caught.value.status in (403, 412)


@pytest.mark.parametrize(
    "url",
    [
        "https://queue.fal.run/fal-ai/other/requests/1/status",
        "https://queue.fal.run/fal-ai/flux/dev/requests/1/status",
        "https://queue.fal.run/fal-ai/flux/requests/../requests/1",
        "https://queue.fal.run/fal-ai/other/requests/1/requests/2",
    ],
)
def test_a_request_of_another_app_is_not_shown(url: str) -> None:
    with pytest.raises(Refused) as caught:
        judge(url, "GET", ALLOWED)
    assert caught.value.status in (403, 405, 412)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://fal.run/fal-ai/flux/dev"),
        ("PUT", "https://fal.run/fal-ai/flux/dev"),
        ("DELETE", "https://queue.fal.run/fal-ai/flux/requests/1"),
        ("POST", "https://queue.fal.run/fal-ai/flux/requests/1/cancel"),
        ("GET", "https://rest.fal.ai/tokens/"),
        ("GET", "https://queue.fal.run/fal-ai/flux/requests/1/cancel"),
    ],
)
def test_a_method_that_the_url_does_not_take_is_405(method: str, url: str) -> None:
    with pytest.raises(Refused) as caught:
        judge(url, method, ALLOWED)
    assert caught.value.status == 405


@pytest.mark.parametrize("url", [None, ""])
def test_a_missing_header_is_400(url: str | None) -> None:
    with pytest.raises(Refused) as caught:
        judge(url, "POST", ALLOWED)
    assert caught.value.status == 400


def test_uploads_are_let_through_where_they_are_turned_on() -> None:
    url = "https://rest.fal.ai/storage/upload/initiate?storage_type=fal-cdn-v3"
    assert judge(url, "POST", ALLOWED, uploads=True) == Target(
        Service.STORAGE, "/storage/upload/initiate", "storage_type=fal-cdn-v3"
    )
    with pytest.raises(Refused):
        judge("https://rest.fal.ai/storage/delete", "POST", ALLOWED, uploads=True)


@given(
    st.text("abfl.runi/:@\\?#%[]2eF 0１。\r\n-_", max_size=60),
    st.sampled_from(["https://fal.run", "https://queue.fal.run/", "https://rest.fal.ai/", "https://", ""]),
)
@example("/acme/app", "https://fal.run")
def test_whatever_is_let_through_is_built_of_what_was_checked(text: str, start: str) -> None:
    try:
        target = judge(start + text, "POST", ALLOWED, uploads=True)
    except Refused:
        return
    assert target.path.startswith("/")
    assert "//" not in target.path
    assert ".." not in target.path
    assert target.path.isascii()
    assert not set(target.path) & set("@\\%?# \r\n:[]")
    assert not set(target.query) & set("@\\# \r\n[]")

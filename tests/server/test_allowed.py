from __future__ import annotations

from typing import Any

import pytest

from falrt import ConfigurationError
from falrt.protocol.wire.endpoint import Endpoint
from falrt.server.allowed import Allowed


def admits(allow: list[str], app: str) -> bool:
    return Allowed.of(allow).admits(Endpoint.parse(app))


@pytest.mark.parametrize(
    ("allow", "app"),
    [
        ("fal-ai/flux-2/klein", "fal-ai/flux-2/klein"),
        ("fal-ai/flux-2/klein", "fal-ai/flux-2/klein/realtime"),
        ("fal-ai/flux-2/klein", "fal-ai/flux-2/klein/stream"),
        ("fal-ai/flux-2/klein/realtime", "fal-ai/flux-2/klein"),
        ("110602490-lcm", "110602490/lcm/realtime"),
        ("fal-ai/flux/*", "fal-ai/flux/dev"),
        ("fal-ai/flux/*", "fal-ai/flux/dev/image-to-image"),
        ("fal-ai/flux/*", "fal-ai/flux"),
        ("acme/*", "acme/anything/at/all"),
        ("workflows/acme/*", "workflows/acme/one"),
        ("acme/realtime", "acme/realtime"),
    ],
)
def test_what_is_on_the_list_is_admitted(allow: str, app: str) -> None:
    assert admits([allow], app)


@pytest.mark.parametrize(
    ("allow", "app"),
    [
        ("fal-ai/flux-2/klein", "fal-ai/flux-2"),
        ("fal-ai/flux-2/klein", "fal-ai/flux-2/klein/lora"),
        ("fal-ai/flux-2/klein", "fal-ai/flux-2/klein2"),
        ("fal-ai/flux-2", "fal-ai/flux-2/klein"),
        ("fal-ai/flux/*", "fal-ai/flux-pro/v1"),
        ("fal-ai/flux/*", "fal-ai-evil/flux/dev"),
        ("acme/*", "workflows/acme/one"),
        ("acme/*", "acmeevil/app"),
        ("fal-ai/flux/*", "FAL-AI/flux/dev"),
    ],
)
def test_what_is_not_on_the_list_is_not_admitted(allow: str, app: str) -> None:
    assert not admits([allow], app)


def test_a_request_in_the_queue_belongs_to_the_app_of_an_allowed_endpoint() -> None:
    allowed = Allowed.of(["fal-ai/flux-2/klein", "acme/*"])
    assert allowed.admits_app(Endpoint.parse("fal-ai/flux-2"))
    assert allowed.admits_app(Endpoint.parse("acme/one"))
    assert not allowed.admits_app(Endpoint.parse("fal-ai/flux"))


def test_an_alias_leads_to_its_app() -> None:
    allowed = Allowed.of(["fal-ai/flux-2/klein", "fal-ai/flux/*", "acme/*"])
    assert allowed.app_with_alias("flux-2") == "fal-ai/flux-2/klein"
    assert allowed.app_with_alias("flux") == "fal-ai/flux"
    assert allowed.app_with_alias("fal-ai") is None


def test_a_pattern_for_an_owner_lends_its_name_to_no_alias() -> None:
    assert Allowed.of(["acme/*"]).app_with_alias("private") is None


@pytest.mark.parametrize(
    "allow",
    [
        [],
        "fal-ai/flux",
        ["*"],
        ["*/flux"],
        ["fal-ai/*/dev"],
        ["fal-ai/flux*"],
        ["fal-ai/**"],
        ["/*"],
        ["workflows/*"],
        ["https://fal.run/fal-ai/flux"],
        ["fal-ai/../flux"],
        [None],
    ],
)
def test_a_list_that_would_surprise_is_refused(allow: Any) -> None:
    with pytest.raises(ConfigurationError):
        Allowed.of(allow)

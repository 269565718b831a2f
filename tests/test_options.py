"""Wrong options are named with their cure, before anything is opened."""

from __future__ import annotations

from typing import Any

import pytest

import falrt
from falrt import codecs, pacing
from falrt.options import ConnectionSettings

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_buffering": 0}, "max_buffering must be"),
    ({"max_buffering": 61}, "max_buffering must be"),
    ({"max_buffering": True}, "max_buffering must be"),
    ({"mode": "duplex"}, "mode 'duplex' is unknown"),
    ({"mode": ""}, "mode '' is unknown"),
    ({"mode": []}, "is unknown"),
    ({"lazy": "yes"}, "lazy must be True or False"),
    ({"idle_close": 0}, "idle_close must be seconds"),
    ({"warmup_timeout": None}, "warmup_timeout must be seconds"),
    ({"open_timeout": float("nan")}, "open_timeout must be seconds"),
    ({"request_timeout": 10**400}, "request_timeout must be"),
    ({"throttle_interval": "fast"}, "throttle_interval must be"),
    ({"throttle_interval": 0.1, "pacing": pacing.Latest()}, "give one of the two"),
    ({"pacing": pacing.Latest}, "pacing must be a policy"),
    ({"reconnect": 5}, "reconnect must be"),
    ({"max_size": 0}, "max_size must be"),
    ({"compression": "gzip"}, "compression must be"),
    ({"ping_interval": -1}, "ping_interval must be"),
    ({"ping_timeout": True}, "ping_timeout must be"),
    ({"codec": codecs.Msgpack}, "codec must be an object"),
    ({"codec": "json"}, "codec must be an object"),
    ({"on_result": 5}, "on_result must be a function"),
    ({"on_event": "print"}, "on_event must be a function"),
    ({"encode_message": 5}, "encode_message must be a function"),
    ({"proxy": 5}, "proxy must be a URL"),
    ({"proxy": "user:hidden@proxy"}, "proxy must be a URL"),
    ({"path": ""}, "path"),
    ({"path": "a b"}, "path"),
]


@pytest.mark.parametrize(("options", "text"), WRONG)
def test_a_wrong_option_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(falrt.ConfigurationError, match=text) as caught:
        falrt.connect("acme/app", key="k", **options)
    assert "hidden" not in str(caught.value)


def test_what_is_right_is_taken() -> None:
    settings = ConnectionSettings.of({"throttle_interval": 0.1, "reconnect": False, "mode": "bidi"})
    assert settings.effective_pacing == pacing.Throttle(0.1)
    assert settings.backoff is None
    assert ConnectionSettings.of({}).backoff == falrt.Backoff()
    assert ConnectionSettings.of({"reconnect": falrt.Backoff(attempts=3)}).backoff == falrt.Backoff(
        attempts=3
    )
    assert ConnectionSettings.of({}).effective_pacing == pacing.Immediate()

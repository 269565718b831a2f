from __future__ import annotations

import pytest

from falrt import exceptions, models
from falrt.cli.endpoint import check_endpoint, endpoint


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FALRT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_local_needs_neither_key_nor_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALRT_BASE_URL", "nonsense")

    check_endpoint(models.KLEIN, local=True, max_buffering=60)


def test_fal_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(exceptions.MissingCredentialsError):
        check_endpoint(models.KLEIN, local=False)
    monkeypatch.setenv("FAL_KEY", "test")

    check_endpoint(models.KLEIN, local=False)


def test_address_of_the_environment_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "test")
    monkeypatch.setenv("FALRT_BASE_URL", "localhost")

    with pytest.raises(exceptions.ConfigurationError, match="localhost"):
        check_endpoint(models.KLEIN, local=False)


def test_speed_and_buffering_are_checked() -> None:
    with pytest.raises(exceptions.ConfigurationError, match="speed"):
        check_endpoint(models.KLEIN, local=True, speed=0)
    with pytest.raises(exceptions.ConfigurationError, match="max_buffering"):
        check_endpoint(models.KLEIN, local=True, max_buffering=99)


def test_options_for_fal_come_from_the_environment_alone() -> None:
    with endpoint(local=False) as options:
        assert options == {}

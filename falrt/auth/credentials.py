"""Keys and tokens as values that are not shown in a repr, and the places where a key is looked for.

Source: wire fact W40, docs/reference/wire.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from falrt.exceptions import ConfigurationError, MissingCredentialsError

__all__ = ["Key", "Token", "find_key"]

_WHERE_TO_GET_ONE = "keys are made at https://fal.ai/dashboard/keys"
# Shorter parts of a key, such as "test", are no secrets but would blank out ordinary words.
_SECRET_LENGTH = 8


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A short-lived token for a handshake, as a ``token_provider`` may return it.

    Attributes:
        value: The token, usually a JWT. Not part of the repr.
        expires_in: Seconds from now until it expires; None to use the JWT's own ``exp``, else
            ``token_expiration_seconds``.
    """

    value: str
    expires_in: float | None = None

    def __repr__(self) -> str:
        return f"Token(***, expires_in={self.expires_in})"


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A fal key that fits into a header. Not part of any repr or error.

    Attributes:
        value: The key, usually ``key_id:key_secret``.

    Raises:
        ConfigurationError: The text cannot be a key; the error says why without showing it.
    """

    value: str

    def __post_init__(self) -> None:
        _check(self.value, "key")

    @property
    def header(self) -> str:
        """The value of an ``Authorization`` header."""
        return f"Key {self.value}"

    def hide(self, text: str) -> str:
        """Return a text with ``***`` for the key and for each half of it, as a service may quote them."""
        for part in (self.value, *self.value.split(":")):
            if len(part) >= _SECRET_LENGTH:
                text = text.replace(part, "***")
        return text

    def __repr__(self) -> str:
        return "Key(***)"


def find_key(key: str | None = None, *, environ: Mapping[str, str] | None = None) -> Key:
    """Return the key to use: the one given, else the environment's.

    Looks at ``key``, then ``FAL_KEY``, then ``FAL_KEY_ID`` with ``FAL_KEY_SECRET``, then the secret
    ``FAL_KEY`` of a Google Colab notebook. White space around a key is removed, because a file or a shell may
    have added it; an empty variable counts as absent.

    Args:
        key: The key itself, without the word ``Key`` in front.
        environ: The environment; by default that of the process.

    Raises:
        MissingCredentialsError: No key was found; the text says where to put it.
        ConfigurationError: A key is invalid; the text says why without showing it.
    """
    if key is not None:
        if not isinstance(key, str):
            raise ConfigurationError(f"key must be a string, got {type(key).__name__}")
        if not key.strip():
            raise MissingCredentialsError(
                f"key is empty: pass a key, or leave it out to use FAL_KEY; {_WHERE_TO_GET_ONE}"
            )
        return _checked(key, "key")
    variables = os.environ if environ is None else environ
    if variables.get("FAL_KEY", "").strip():
        return _checked(variables["FAL_KEY"], "FAL_KEY")
    key_id, secret = variables.get("FAL_KEY_ID", "").strip(), variables.get("FAL_KEY_SECRET", "").strip()
    if key_id and secret:
        return _checked(f"{key_id}:{secret}", "FAL_KEY_ID and FAL_KEY_SECRET")
    if key_id or secret:
        absent = "FAL_KEY_SECRET" if key_id else "FAL_KEY_ID"
        raise MissingCredentialsError(f"{absent} is not set, but its other half is: set both, or FAL_KEY")
    if colab := _colab_secret():
        return _checked(colab, "the Colab secret FAL_KEY")
    raise MissingCredentialsError(
        "no fal key found: set the environment variable FAL_KEY (or FAL_KEY_ID and FAL_KEY_SECRET), pass key=..., "
        f"or pass token_provider=... or proxy_url=...; {_WHERE_TO_GET_ONE}; without a key, "
        "`falrt serve` plays fal on this machine, and `falrt stream --local` needs neither"
    )


def _colab_secret() -> str:
    """Return the notebook's secret; ``""`` outside Colab or if the user does not share it."""
    # Only if it is loaded already: in a Colab kernel it always is, and elsewhere the import could run
    # arbitrary code.
    userdata = getattr(sys.modules.get("google.colab"), "userdata", None)
    if userdata is None:
        return ""
    try:
        secret = userdata.get("FAL_KEY")
    except Exception:  # Not found, not granted, or timed out: there is no key here.
        return ""
    return secret.strip() if isinstance(secret, str) else ""


def _checked(text: str, source: str) -> Key:
    value = text.strip()
    _check(value, source)
    return Key(value)


def _check(value: str, source: str) -> None:
    """Refuse text that does not fit into a header; an HTTP library would quote it in its error."""
    if value[:4].lower() == "key ":
        raise ConfigurationError(f"{source} begins with the word 'Key': pass the key without it")
    if value.strip("'\"") != value:
        raise ConfigurationError(f"{source} has quotes around it: remove them")
    for position, character in enumerate(value):
        if not "!" <= character <= "~":
            what = "white space" if character.isspace() else "a character that keys never contain"
            raise ConfigurationError(f"{source} contains {what} at position {position}: copy the key again")

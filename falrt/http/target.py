"""What a call goes to: an endpoint id or a model with types, and how its inputs become JSON and its results values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Generic

from falrt.exceptions import ConfigurationError, EncodeError
from falrt.models import plain
from falrt.protocol.wire.endpoint import Endpoint
from falrt.threads import run_in_thread
from falrt.typing import EndpointModel, InputT, OutputT

__all__ = ["Target"]

# Encoding this many characters of text takes about a millisecond.
_HEAVY_CHARACTERS = 1_000_000


class Target(Generic[InputT, OutputT]):
    """The endpoint of a call.

    Args:
        app: An endpoint id, or a model with ``app``, ``dump`` and ``load``.

    Raises:
        ConfigurationError: It is neither.
    """

    __slots__ = ("_model", "app", "endpoint")

    def __init__(self, app: str | EndpointModel[InputT, OutputT]) -> None:
        self._model: Any = None
        if not isinstance(app, str):
            if isinstance(app, type) or not all(hasattr(app, name) for name in ("app", "dump", "load")):
                raise ConfigurationError(
                    "app must be an endpoint id such as 'fal-ai/flux/schnell' or a model of falrt.models, "
                    f"got {getattr(app, '__name__', type(app).__name__)}"
                )
            self._model, app = app, app.app
        self.endpoint = Endpoint.parse(app)
        self.app = self.endpoint.app_id

    async def dump(self, value: InputT | Mapping[str, Any]) -> bytes:
        """Check an input and return its JSON; long work is done in a thread.

        Raises:
            ConfigurationError: It is no map, or a value cannot be sent.
            ValidationError: It does not fit the model's input type (pydantic's error, also a ValueError).
            EncodeError: It has no JSON.
        """
        try:
            heavy = self._is_heavy(value)
        except RecursionError:
            raise ConfigurationError(
                f"{self.app}: the input contains itself, or is nested too deep"
            ) from None
        return await run_in_thread(lambda: self._dump(value)) if heavy else self._dump(value)

    def _is_heavy(self, value: Any) -> bool:
        if self._model is not None:
            return bool(self._model.is_heavy(value))
        if plain.is_heavy(value):
            return True
        texts = value.values() if isinstance(value, Mapping) else ()
        return any(isinstance(each, str) and len(each) > _HEAVY_CHARACTERS for each in texts)

    def _dump(self, value: Any) -> bytes:
        try:
            if self._model is not None:
                value = self._model.dump(value, json=True)
            elif isinstance(value, Mapping):
                value = plain.plain_map(value, json=True)
            else:
                raise ConfigurationError(
                    f"{self.app}: an input must be a mapping, not {type(value).__name__}"
                )
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except RecursionError:
            raise ConfigurationError(
                f"{self.app}: the input contains itself, or is nested too deep"
            ) from None
        except UnicodeEncodeError as exc:
            raise EncodeError(f"{self.app}: the input contains half a character (a lone surrogate)") from exc
        except TypeError as exc:
            raise EncodeError(f"{self.app}: the input cannot be encoded as JSON: {exc}") from exc
        except ValueError as exc:
            if isinstance(exc, ConfigurationError) or hasattr(exc, "errors"):
                raise  # ours, or pydantic's: both say what is wrong
            raise EncodeError(f"{self.app}: the input cannot be encoded as JSON: {exc}") from exc

    def load(self, result: Any) -> OutputT:
        """Return a result as the caller gets it.

        Raises:
            ResponseValidationError: It does not fit the model's output type.
        """
        loaded: OutputT = result if self._model is None else self._model.load(result)
        return loaded

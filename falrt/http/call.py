"""One call: an endpoint or a model with types, who sends, the options; its inputs become JSON, its results values."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final, Generic, Self

from falrt.exceptions import ConfigurationError, EncodeError
from falrt.http.caller import Ask, Caller
from falrt.http.options import CallSettings
from falrt.models import plain
from falrt.protocol.wire.endpoint import Endpoint
from falrt.protocol.wire.pipelined import Answer
from falrt.threads import run_in_thread
from falrt.typing import EndpointModel, InputT, OutputT

__all__ = ["Call"]

# Encoding this many characters of text takes about a millisecond.
_HEAVY_CHARACTERS: Final = 1_000_000


class Call(Generic[InputT, OutputT]):
    """What a call goes to, and with which options.

    Args:
        caller: Sends its requests.
        app: An endpoint id, or a model with ``app``, ``dump`` and ``load``.
        settings: Its options.

    Raises:
        ConfigurationError: ``app`` is neither.
    """

    __slots__ = ("_model", "app", "caller", "endpoint", "settings")

    def __init__(
        self, caller: Caller, app: str | EndpointModel[InputT, OutputT], settings: CallSettings
    ) -> None:
        self.caller, self.settings = caller, settings
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

    def having(self, settings: CallSettings) -> Self:
        """Return the same call with other options."""
        other = copy.copy(self)
        other.settings = settings
        return other

    def ask(self, method: str, url: str, body: bytes | None = None, **more: Any) -> Ask:
        """Return a request of this call."""
        return Ask(method, url, self.app, body, settings=self.settings, **more)

    async def dump(self, value: InputT | Mapping[str, Any]) -> bytes:
        """Check an input and return its JSON; long work is done in a thread.

        Raises:
            ConfigurationError: It is no map, or a value cannot be sent.
            ValidationError: It does not fit the model's input type (pydantic's error, also a ValueError).
            EncodeError: It has no JSON.
        """
        try:
            return (
                await run_in_thread(lambda: self._dump(value)) if self._is_heavy(value) else self._dump(value)
            )
        except RecursionError:
            raise ConfigurationError(
                f"{self.app}: the input contains itself, or is nested too deep"
            ) from None
        except UnicodeEncodeError as exc:
            raise EncodeError(f"{self.app}: the input contains half a character (a lone surrogate)") from exc
        except (TypeError, ValueError) as exc:
            if isinstance(exc, ConfigurationError | EncodeError) or hasattr(exc, "errors"):
                raise  # ours, or pydantic's: both say what is wrong
            raise EncodeError(f"{self.app}: the input cannot be encoded as JSON: {exc}") from exc

    def _is_heavy(self, value: Any) -> bool:
        if self._model is not None:
            return bool(self._model.is_heavy(value))
        if plain.is_heavy(value):
            return True
        texts = value.values() if isinstance(value, Mapping) else ()
        return any(isinstance(each, str) and len(each) > _HEAVY_CHARACTERS for each in texts)

    def _dump(self, value: Any) -> bytes:
        if self._model is not None:
            value = self._model.dump(value, json=True)
        elif isinstance(value, Mapping):
            value = plain.plain_map(value, json=True)
        else:
            raise ConfigurationError(f"{self.app}: an input must be a mapping, not {type(value).__name__}")
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    def load(self, result: Any) -> OutputT:
        """Return a result as the user gets it.

        Raises:
            ResponseValidationError: It does not fit the model's output type.
        """
        loaded: OutputT = result if self._model is None else self._model.load(result)
        return loaded

    def result(self, answer: Answer) -> OutputT:
        """Return the result in an answer.

        Raises:
            HTTPCallError: It is not JSON.
            ResponseValidationError: As :meth:`load`.
        """
        return self.load(self.caller.decode(answer, self.app))

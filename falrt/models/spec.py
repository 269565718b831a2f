"""Endpoint and RealtimeModel: an app id with the types of its inputs and outputs.

pydantic is imported when a model is built, never by this module, so that plain ids cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, cast, get_args, get_origin

from falrt.exceptions import ConfigurationError, FalrtError, ResponseValidationError
from falrt.media.source import describe
from falrt.models.plain import is_heavy, plain_map
from falrt.typing import InputT, ModeName, OutputT

__all__ = ["Endpoint", "RealtimeModel"]

_SHOWN_ERRORS = 3


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[InputT, OutputT]):
    """An HTTP endpoint with the types of its inputs and outputs, for :meth:`falrt.Client.run` and the other calls.

    ::

        MINE = falrt.Endpoint("acme/app", MyInput, MyOutput)

    Args:
        app: Endpoint id, such as ``"fal-ai/flux/schnell"``.
        input_type: A pydantic model class, or ``dict``.
        output_type: A pydantic model class, or ``dict``.

    Raises:
        ConfigurationError: An argument has the wrong type.
    """

    app: str
    input_type: type[InputT]
    output_type: type[OutputT]

    def __post_init__(self) -> None:
        app: object = self.app
        if not isinstance(app, str) or not app.strip():
            raise ConfigurationError(f"app must be an endpoint id such as 'acme/app', not {describe(app)}")
        _check_type("input_type", self.input_type)
        _check_type("output_type", self.output_type)

    @property
    def echoes_request_id(self) -> bool:
        """Whether both types declare ``request_id``, so that an answer may name its input.

        A server may still leave it empty: match by it only if it came back (wire facts W35 and W64).
        """
        return all(
            "request_id" in getattr(kind, "model_fields", ()) for kind in (self.input_type, self.output_type)
        )

    def dump(self, value: InputT | Mapping[str, object], *, json: bool = False) -> dict[str, Any]:
        """Check an input and return the message to send.

        Sent is every field except those that are None and those that a :class:`~falrt.models.ModelInput` leaves out
        because they were not set, so that the server's defaults apply.
        Pictures become data URIs or bytes; where that may take milliseconds, :meth:`is_heavy` returns True.

        Args:
            value: An instance of the input type, or a mapping, which is checked by the input type.
            json: Convert bytes to base64 text, for a JSON codec.

        Raises:
            ValidationError: The mapping does not fit the input type (pydantic's error, also a ValueError).
            ConfigurationError: The value has another type, or a picture cannot be read.
            EncodeError: A value in it cannot be sent; the text names its path.
            MissingDependencyError: A picture needs Pillow or numpy.
        """
        if hasattr(self.input_type, "model_fields"):
            return plain_map(self._dump_model(value), json=json)
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"an input of {self.app} must be a mapping, not {describe(value)}")
        return plain_map(value, json=json)

    def is_heavy(self, value: object) -> bool:
        """Tell whether :meth:`dump` may take more than half a millisecond and should run in a thread.

        That is so for pixels, files and very long bytes. The check itself takes a few microseconds.
        """
        return is_heavy(value)

    def load(self, message: Any) -> OutputT:
        """Return the typed output of a decoded result.

        Raises:
            ResponseValidationError: The result does not fit the output type; the error has it as ``payload``.
        """
        validate = getattr(self.output_type, "model_validate", None)
        if validate is None:
            if isinstance(message, dict):
                return cast("OutputT", message)
            text = f"a result of {self.app} is not a map: {describe(message)}"
            raise ResponseValidationError(text, payload=message)
        try:
            return cast("OutputT", validate(message))
        except ValueError as exc:  # pydantic's ValidationError
            text = f"a result of {self.app} does not fit {self.output_type.__name__}: {_summary(exc)}"
            raise ResponseValidationError(text, payload=message) from exc

    def _dump_model(self, value: object) -> dict[str, Any]:
        model: Any = self.input_type
        if isinstance(value, Mapping):
            value = model.model_validate(dict(value))
        elif not isinstance(value, model):
            cure = f"give {model.__name__}(...) or a mapping of its fields"
            raise ConfigurationError(f"an input of {self.app} cannot be {describe(value)}; {cure}")
        given: Any = value
        left_out = getattr(type(value), "model_left_out", None)
        try:
            dumped: Any = given.model_dump(
                exclude=left_out - given.model_fields_set if left_out else None,
                exclude_none=True,
                by_alias=True,
                warnings="error",
            )
        except ValueError as exc:  # pydantic's PydanticSerializationError
            if isinstance(exc.__cause__, FalrtError):
                raise exc.__cause__ from None
            raise ConfigurationError(f"an input of {self.app} cannot be sent: {exc}") from exc
        if not isinstance(dumped, dict):
            raise ConfigurationError(
                f"an input of {self.app} must be a mapping, and {describe(model)} gives none"
            )
        return dumped


@dataclass(frozen=True, slots=True)
class RealtimeModel(Endpoint[InputT, OutputT]):
    """A realtime app with the types of its inputs and outputs, for :func:`falrt.connect`.

    ::

        MINE = falrt.RealtimeModel("acme/app", MyInput, MyOutput)

    Args:
        app: Endpoint id, such as ``"fal-ai/fast-lcm-diffusion"``.
        input_type: A pydantic model class, or ``dict``.
        output_type: A pydantic model class, or ``dict``.
        path: Another WebSocket path than ``/realtime``.
        mode: ``"unary"``, ``"server_streaming"``, ``"client_streaming"`` or ``"bidi"``.

    Raises:
        ConfigurationError: An argument has the wrong type.
    """

    _: KW_ONLY
    path: str | None = None
    mode: ModeName = "unary"

    def __post_init__(self) -> None:
        Endpoint.__post_init__(self)
        path: object = self.path
        if path is not None and not isinstance(path, str):
            raise ConfigurationError(f"path must be a string such as '/realtime', not {describe(path)}")
        if self.mode not in get_args(ModeName):
            raise ConfigurationError(
                f"mode must be one of {', '.join(get_args(ModeName))}, not {self.mode!r}"
            )


def _check_type(name: str, kind: object) -> None:
    if kind is dict or get_origin(kind) is dict:
        return
    from pydantic import BaseModel

    if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or kind is BaseModel:
        raise ConfigurationError(f"{name} must be a pydantic model class or dict, not {describe(kind)}")


def _summary(error: ValueError) -> str:
    """Describe the first few errors; pydantic's own text would quote the payload, including pictures."""
    details = cast("Any", error).errors(include_input=False, include_url=False, include_context=False)
    shown = [
        f"{'.'.join(map(str, detail['loc'])) or 'the whole'}: {str(detail['msg'])[:120]}"
        for detail in details[:_SHOWN_ERRORS]
    ]
    more = len(details) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")

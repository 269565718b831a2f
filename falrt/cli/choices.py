"""The models that commands know by a short name, and how a frame becomes an input of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from PIL.Image import Image

    from falrt.models.spec import RealtimeModel

__all__ = ["MODEL_NAMES", "Choice", "choose", "read_settings"]

MODEL_NAMES = ("klein", "lcm", "turbo", "lightning")


@dataclass(frozen=True, slots=True)
class Choice:
    """A model and its settings.

    Attributes:
        name: The short name.
        model: For ``falrt.connect``.
        picture_field: The input's field that holds the frame.
        build: ``(frame, prompt) -> input`` with the settings; pixels are encoded when the input is sent.
    """

    name: str
    model: RealtimeModel[Any, Any]
    picture_field: str
    build: Callable[[Image, str], Any]

    def frame_of(self, given: Any) -> Image:
        """Return the very frame that `build` made an input of."""
        frame: Image = getattr(given, self.picture_field)
        return frame


def choose(name: str, settings: Mapping[str, Any], *, app: str | None = None) -> Choice:
    """Return a model by its short name.

    Args:
        name: One of `MODEL_NAMES`.
        settings: Input fields besides prompt and picture.
        app: Another endpoint id with the same inputs and outputs.

    Raises:
        ConfigurationError: The name or a setting is wrong; the text names it and what there is.
    """
    from pydantic import ValidationError

    from falrt import models

    known: dict[str, tuple[RealtimeModel[Any, Any], type[Any], str, dict[str, Any]]] = {
        "klein": (models.KLEIN, models.KleinInput, "image_url", {}),
        "lcm": (models.LCM, models.LCMInput, "image_bytes", {"image_size": "square", "strength": 0.8}),
        "turbo": (models.TURBO, models.TurboInput, "image_bytes", {"image_size": "square", "strength": 0.8}),
        # It draws from the prompt alone; without sync_mode its pictures would have to be fetched one by one.
        "lightning": (
            models.LIGHTNING,
            models.LightningInput,
            "image_bytes",
            {"image_size": "square", "sync_mode": True},
        ),
    }
    if name not in known:
        raise ConfigurationError(f"unknown model {name!r}: there are {', '.join(known)}")
    model, input_type, picture, defaults = known[name]
    for field in (picture, "prompt"):
        if field in settings:
            raise ConfigurationError(f"{field} cannot be set: it comes from --source and --prompt")
    fields = {**defaults, **settings}
    try:
        # Checked here once, with a picture of one pixel's worth, so that a mistake shows before anything
        # starts.
        input_type(**{"prompt": "", picture: _TINY, **fields})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"--set{' ' if where else ''}{where}: {first['msg']}") from error
    if app is not None:
        from falrt.models.spec import RealtimeModel

        model = RealtimeModel(app, model.input_type, model.output_type)

    def build(frame: Image, prompt: str) -> Any:
        return input_type(**{"prompt": prompt, picture: frame, **fields})

    return Choice(name, model, picture, build)


_TINY = b"\xff\xd8\xff\xe0"
"""The beginning of a JPEG: enough for a check that looks at first bytes only."""


def read_settings(pairs: list[str]) -> dict[str, Any]:
    """Read ``field=value`` arguments; a value is JSON where it can be, else text.

    Raises:
        ConfigurationError: There is no ``=``.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--set takes field=value, not {pair!r}")
        try:
            settings[name.strip()] = json.loads(text)
        except ValueError:
            settings[name.strip()] = text
    return settings

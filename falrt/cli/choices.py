"""The models that commands know by a short name, and how a frame becomes an input of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from PIL.Image import Image

    from falrt.media.fit import Fit
    from falrt.models.spec import RealtimeModel

__all__ = ["MODEL_NAMES", "Choice", "choose", "json_or_text", "read_settings"]

# Short name -> the name in `falrt.models`, the input's field that holds the frame, and settings of our own.
_MODELS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "klein": ("KLEIN", "image_url", {}),
    "lcm": ("LCM", "image_bytes", {"image_size": "square", "strength": 0.8}),
    "turbo": ("TURBO", "image_bytes", {"image_size": "square", "strength": 0.8}),
    # It draws from the prompt alone; without sync_mode its pictures would have to be fetched one by one.
    "lightning": ("LIGHTNING", "image_bytes", {"image_size": "square", "sync_mode": True}),
}
MODEL_NAMES: Final = tuple(_MODELS)

# The beginning of a JPEG: enough for a check that looks at first bytes only.
_TINY: Final = b"\xff\xd8\xff\xe0"


@dataclass(frozen=True, slots=True)
class Choice:
    """A model and its settings.

    Attributes:
        model: For ``falrt.connect``.
        picture_field: The input's field that holds the frame.
        settings: Input fields besides prompt and picture.
        fit: What happens to frames of another shape.
        size: Width and height of what is sent.
    """

    model: RealtimeModel[Any, Any]
    picture_field: str
    settings: Mapping[str, Any]
    fit: Fit
    size: tuple[int, int] = (0, 0)

    def build(self, frame: Image | bytes, prompt: str) -> Any:
        """Return an input; pixels are encoded when it is sent."""
        from falrt.media import Fitted

        picture = {self.picture_field: Fitted(frame, self.fit)}
        return self.model.input_type(**{"prompt": prompt, **picture, **self.settings})

    def frame_of(self, given: Any) -> Image:
        """Return the very frame that `build` made an input of."""
        frame: Image = getattr(given, self.picture_field).picture
        return frame

    def done_to(self, frame: Image) -> str:
        """Say in a line what is done to a frame before it is sent; nothing where nothing is done."""
        from falrt.media.fit import place

        if frame.size == self.size:
            return ""
        placed = place(frame.size, self.size, self.fit)
        text = f"frames of {_pixels(frame.size)} "
        if placed.box_size != frame.size:
            text += f"are cut to their middle {_pixels(placed.box_size)} and sent as {_pixels(self.size)}"
            return f"{text} (--fit contain or stretch keeps all of it)"
        if placed.inner != self.size:
            return f"{text}are sent as {_pixels(self.size)}, with black borders (--fit contain)"
        if self.fit == "stretch" and frame.width * self.size[1] != frame.height * self.size[0]:
            return f"{text}are distorted to {_pixels(self.size)} (--fit stretch)"
        return f"{text}are sent as {_pixels(self.size)}"


def choose(name: str, settings: Mapping[str, Any], *, app: str | None = None, fit: str = "cover") -> Choice:
    """Return a model by its short name.

    Args:
        name: One of `MODEL_NAMES`.
        settings: Input fields besides prompt and picture.
        app: Another endpoint id with the same inputs and outputs.
        fit: ``"cover"``, ``"contain"`` or ``"stretch"``.

    Raises:
        ConfigurationError: The name or a setting is wrong; the text names it and what there is.
    """
    from pydantic import ValidationError

    from falrt import models
    from falrt.models.fields import image_field

    if name not in _MODELS:
        raise ConfigurationError(f"unknown model {name!r}: use one of {', '.join(_MODELS)}")
    constant, picture, defaults = _MODELS[name]
    for field in (picture, "prompt"):
        if field in settings:
            raise ConfigurationError(f"{field} cannot be set: it comes from --source and --prompt")
    model: RealtimeModel[Any, Any] = getattr(models, constant)
    if app is not None:
        model = replace(model, app=app)
    choice = Choice(model, picture, {**defaults, **settings}, cast("Fit", fit))
    try:
        # Checked here once, with a picture of one pixel's worth, so that a mistake shows before anything starts.
        sample = choice.build(_TINY, "")
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"--set{' ' if where else ''}{where}: {first['msg']}") from exc
    size = image_field(model.input_type, picture).size_for(sample)
    assert size is not None  # noqa: S101 - every field of these has a size
    return replace(choice, size=size)


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def read_settings(pairs: Iterable[str] | None) -> dict[str, Any]:
    """Read ``field=value`` arguments; a value is JSON where it can be, else text.

    Raises:
        ConfigurationError: There is no ``=``.
    """
    settings: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--set takes field=value, not {pair!r}")
        settings[name.strip()] = json_or_text(text)
    return settings


def json_or_text(value: str) -> Any:
    """Return what a value is as JSON, else the text itself."""
    try:
        return json.loads(value)
    except ValueError:
        return value

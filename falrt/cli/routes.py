"""Which endpoint a wish is for: fal's short and old names, and the routes of each model that take a picture or a LoRA.

Nothing is imported that takes its time: ``falrt generate`` should be off within half a second. The ids and fields are
those of `falrt.models`, which a test compares.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

from falrt.exceptions import ConfigurationError

__all__ = ["FAMILIES", "Call", "Route", "Wish", "image_size", "route"]

# The fal-realtime skill's sizes, in pixels; other names are fal's presets.
_SIZES: Final = {"square": (1024, 1024), "landscape": (1344, 768), "portrait": (768, 1344)}
_PRESETS: Final = (
    *("square_hd", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"),
)  # "square" alone is the skill's
_WORDS: Final = {"image": "a picture to start from", "lora": "LoRAs", "negative": "a negative prompt"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options of a command say, in its own words; None leaves it to the endpoint."""

    prompt: str
    model: str = "klein"
    size: str | None = None
    seed: int | None = None
    image: str | None = None  # the picture to start from: a data URI or an address
    negative_prompt: str | None = None
    lora_url: str | None = None
    lora_scale: float = 1.0
    num_images: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # further input fields

    @property
    def needs(self) -> frozenset[str]:
        """What not every endpoint takes: ``"image"``, ``"lora"``, ``"negative"``."""
        given = {"image": self.image, "lora": self.lora_url, "negative": self.negative_prompt}
        return frozenset(name for name, value in given.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, and what sets it apart.

    Attributes:
        app: Its id.
        takes: Which of ``"image"``, ``"lora"``, ``"negative"`` it takes; one that takes a picture requires it.
        picture: The field of the picture.
    """

    app: str
    takes: frozenset[str] = frozenset()
    picture: str = "image_url"

    def suits(self, needs: frozenset[str]) -> bool:
        """Whether it takes what is needed, and requires nothing else."""
        return needs <= self.takes and ("image" in needs) == ("image" in self.takes)


@dataclass(frozen=True, slots=True)
class Call:
    """What to call.

    Attributes:
        app: Endpoint id.
        input: Its input.
        notes: What a user should know: that another endpoint is called than the one that was named, and why.
    """

    app: str
    input: dict[str, Any]
    notes: tuple[str, ...] = ()


def _routes(app: str, *rows: tuple[str, str], picture: str = "image_url") -> tuple[Route, ...]:
    return tuple(
        Route(f"{app}{path}", frozenset(takes.split()), picture) for path, takes in (("", ""), *rows)
    )


def _klein(size: str) -> tuple[Route, ...]:
    plain = [("/lora", "lora"), ("/edit", "image"), ("/edit/lora", "image lora")]
    base = [(f"/base{path}", f"{takes} negative") for path, takes in [("", ""), *plain]]
    return _routes(f"fal-ai/flux-2/klein/{size}", *plain, *base, picture="image_urls")


_I2I: Final = ("/image-to-image", "image")
_FLUX_LORA: Final = (
    Route("fal-ai/flux-lora", frozenset({"lora"})),
    Route("fal-ai/flux-lora/image-to-image", frozenset({"image", "lora"})),
)

FAMILIES: Final[Mapping[str, tuple[Route, ...]]] = {
    "schnell": _routes("fal-ai/flux/schnell"),
    "dev": (*_routes("fal-ai/flux/dev", _I2I), *_FLUX_LORA),
    "flux-lora": _FLUX_LORA,
    "klein": _klein("4b"),
    "klein-9b": _klein("9b"),
    "turbo": _routes("fal-ai/flux-2/turbo", ("/edit", "image"), picture="image_urls"),
    "hyper-sdxl": _routes("fal-ai/hyper-sdxl", _I2I),
    "lcm": tuple(
        Route(each.app, each.takes | {"negative"}) for each in _routes("fal-ai/fast-lcm-diffusion", _I2I)
    ),
    "lightning": _routes("fal-ai/fast-lightning-sdxl", _I2I),
}
"""Short name -> the routes of a model, the first one that suits is taken."""

# fal's old names, and those that its pages use.
_OTHER_NAMES: Final = {
    "flux-2-turbo": "turbo",
    "fal-ai/flux-2-turbo": "turbo",
    "flux-2/turbo": "turbo",
    "klein-4b": "klein",
    "flux-2/klein": "klein",
    "fal-ai/flux-2/klein": "klein",
    "fal-ai/flux-2/klein/realtime": "klein",
    "fal-ai/flux-2-klein-realtime": "klein",
    "fal-ai/flux-2-klein-realtime/realtime": "klein",
    "flux/schnell": "schnell",
    "flux-schnell": "schnell",
    "flux/dev": "dev",
    "flux-dev": "dev",
    "lora": "flux-lora",
    "hyper": "hyper-sdxl",
}


def route(wish: Wish) -> Call:
    """Find the endpoint for a wish, and make its input.

    Raises:
        ConfigurationError: No route of the model takes what is wished for; names one of another model that does. Or
            there is no such model, or the size is none.
    """
    name = wish.model.strip().strip("/")
    family = _OTHER_NAMES.get(name, name)
    known = FAMILIES.get(family) or _containing(name)
    if known is None:
        return _unknown(wish, name)
    found = next((each for each in known if each.suits(wish.needs)), None)
    if found is None:
        others = [each for routes in FAMILIES.values() for each in routes if each.suits(wish.needs)]
        # The nearest relative: what has the longest beginning in common.
        near = max(others, key=lambda each: _alike(each.app, known[0].app), default=None)
        raise ConfigurationError(_cannot(wish, known[0].app, near))
    if name.endswith("realtime") and wish.needs & {"lora", "negative"}:
        raise ConfigurationError(_cannot(wish, name, found))
    if known[0].app == name and "image" in known[0].takes - wish.needs:
        raise ConfigurationError(f"{name} needs a picture to start from: give --image")
    says = found.app != name and (found.app != known[0].app or name.startswith("fal-ai/"))
    why = (_why(wish, name, found),) if says else ()
    return Call(found.app, _input(wish, found), (*why, *_unknown_fields(wish.settings, found.app)))


def image_size(size: str, option: str = "--size") -> str | dict[str, int]:
    """Return the ``image_size`` of an input; ``option`` is where a wrong one was given.

    Raises:
        ConfigurationError: It is no size.
    """
    if size in _PRESETS:
        return size
    match = re.fullmatch(r"(\d{1,5})\s*[x×]\s*(\d{1,5})", size.strip(), re.IGNORECASE)
    if size in _SIZES or match:
        width, height = _SIZES[size] if match is None else (int(match[1]), int(match[2]))
        if 0 < width <= 14142 and 0 < height <= 14142:
            return {"width": width, "height": height}
    known = ", ".join([*_SIZES, *_PRESETS])
    raise ConfigurationError(
        f"{option} must be one of {known}, or WIDTHxHEIGHT such as 640x480, not {size!r}"
    )


def _alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _containing(app: str) -> tuple[Route, ...] | None:
    """Return the model that has this endpoint, beginning with it."""
    for routes in FAMILIES.values():
        for each in routes:
            if each.app == app:
                return (each, *(other for other in routes if other is not each))
    return None


def _unknown(wish: Wish, name: str) -> Call:
    if "/" not in name:
        near = difflib.get_close_matches(name, [*FAMILIES, *_OTHER_NAMES], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(FAMILIES)
        raise ConfigurationError(
            f"unknown model {wish.model!r}; {hint}use one of {known}, or any endpoint id"
        )
    return Call(name, _input(wish, Route(name, frozenset(_WORDS))))


def _unknown_fields(settings: Mapping[str, Any], app: str) -> Iterator[str]:
    """Tell of fields that falrt does not know; fal leaves a mistyped one out without a word."""
    given = settings.keys() - {"prompt", "seed"}
    if not given:
        return
    from falrt import models  # only here: it takes its time

    shelf = (getattr(models, name) for name in dir(models) if name.isupper())
    takes = next(
        (set(each.input_type.model_fields) for each in shelf if getattr(each, "app", "") == app), given
    )
    for name in sorted(given - takes):
        near = difflib.get_close_matches(name, takes, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        yield f"{app} has no field {name!r} that falrt knows: {hint}it is sent as it is"


def _input(wish: Wish, found: Route) -> dict[str, Any]:
    input: dict[str, Any] = {"prompt": wish.prompt}
    if wish.size is not None:
        input["image_size"] = image_size(wish.size)
    if wish.seed is not None:
        input["seed"] = wish.seed
    if wish.num_images is not None:
        input["num_images"] = wish.num_images
    if wish.negative_prompt is not None:
        input["negative_prompt"] = wish.negative_prompt
    if wish.lora_url is not None:
        input["loras"] = [{"path": wish.lora_url, "scale": wish.lora_scale}]
    if wish.image is not None:
        input[found.picture] = [wish.image] if found.picture.endswith("s") else wish.image
    return input | dict(wish.settings)


def _said(needs: frozenset[str]) -> str:
    return " and ".join(_WORDS[name] for name in _WORDS if name in needs)


def _cannot(wish: Wish, app: str, other: Route | None) -> str:
    instead = f"; {other.app} does (-m {other.app})" if other else ""
    return f"{app} does not take {_said(wish.needs)}{instead}"


def _why(wish: Wish, name: str, found: Route) -> str:
    if name.endswith("realtime") and "image" not in wish.needs:
        return f"{name} needs a picture and a socket; calling {found.app}, which draws from words"
    if wish.needs:
        return f"calling {found.app}, the route that takes {_said(wish.needs)}"
    return f"{name} is {found.app} today"

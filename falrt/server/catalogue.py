"""What the playground offers: models, and their options as a page can build controls from.

The options are read from the typed models, so that a field that is added there is on the page too.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, Union, get_args, get_origin

from falrt.models.diffusion import LCM, LIGHTNING, TURBO
from falrt.models.klein import KLEIN
from falrt.models.spec import RealtimeModel

__all__ = ["CATALOGUE", "Offer"]

# Set by the page itself, or of no use on it.
_NOT_SHOWN: Final = frozenset(
    {
        *("prompt", "image_url", "image_bytes", "mask_url", "request_id", "sync_mode", "num_images"),
        *("expand_prompt", "enable_safety_checks", "width", "height", "format", "model_name", "loras"),
        *("embeddings", "guidance_rescale", "safety_checker_version", "preserve_aspect_ratio", "crop_output"),
    }
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One model on the page.

    Attributes:
        model: Its id and types.
        title: For people.
        note: What it does, in a few words.
        picture: The input field that takes the picture; empty where the model draws from words alone.
        needs_picture: Whether it draws nothing without one.
        size_pixels: Of the square picture that is sent.
        quality: Of its JPEG, 0 to 1.
        price: Dollars for a second of an open socket; None where it is not documented.
        start: Values that suit a live page better than the model's own defaults.
    """

    model: RealtimeModel[Any, Any]
    title: str
    note: str
    picture: str = ""
    needs_picture: bool = False
    size_pixels: int = 512
    quality: float = 0.8
    price: float | None = None
    start: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what the page reads."""
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "model"}
        return {**told, "app": self.model.app, "options": list(_options(self.model.input_type))}


CATALOGUE: Final = (
    Offer(
        KLEIN,
        "FLUX.2 klein",
        "repaints what it sees",
        "image_url",
        needs_picture=True,
        size_pixels=704,
        quality=0.5,
        price=0.00194,
        start={"output_feedback_strength": 0.9},
    ),
    Offer(
        LCM,
        "LCM",
        "words, or a picture and words",
        "image_bytes",
        start={"image_size": "square", "strength": 0.65, "num_inference_steps": 4},
    ),
    Offer(
        TURBO,
        "SDXL Turbo",
        "the quickest",
        "image_bytes",
        start={"image_size": "square", "strength": 0.65, "num_inference_steps": 3},
    ),
    Offer(LIGHTNING, "SDXL Lightning", "from words alone", start={"image_size": "square", "seed": 7}),
)


def _options(kind: type[Any]) -> Iterator[dict[str, Any]]:
    """Yield a control for each field that is plain enough: a switch, a number, a choice or a text."""
    words = _words(kind)
    infos: dict[str, Any] = getattr(kind, "model_fields", {})
    for name, info in infos.items():
        if name in _NOT_SHOWN:
            continue
        control = _control(info.annotation)
        if control is not None:
            limits = {
                each: getattr(mark, each)
                for mark in info.metadata
                for each in ("ge", "le")
                if hasattr(mark, each)
            }
            yield {"name": name, "default": info.default, "help": words.get(name, ""), **control, **limits}


def _control(annotation: Any) -> dict[str, Any] | None:
    """Return the kind of control that an annotation asks for; None for what a page has none for."""
    if get_origin(annotation) in (Union, types.UnionType):
        found = [each for each in map(_control, get_args(annotation)) if each is not None]
        empty = type(None) in get_args(annotation)
        return {**found[0], "optional": empty} if found else None
    if hasattr(annotation, "__metadata__"):
        return _control(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return {"kind": "choice", "choices": list(get_args(annotation))}
    kinds = {bool: "switch", int: "integer", float: "number", str: "text"}
    return {"kind": kinds[annotation]} if annotation in kinds else None


def _words(kind: type[Any]) -> dict[str, str]:
    """Return what the docstrings say about each field."""
    words: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        for name, text in re.findall(
            r"^ {4}(\w+): (.+(?:\n {8,}.+)*)", inspect.getdoc(each) or "", re.MULTILINE
        ):
            words[name] = re.sub(r"``|:class:|\s+", lambda found: "" if found[0].strip() else " ", text)
    return words

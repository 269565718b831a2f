"""Picture sizes that most models know by name.

Source: wire fact W65, docs/reference/wire.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

__all__ = ["IMAGE_SIZES", "ImageSize", "ImageSizeChoice", "ImageSizePreset", "image_size_pixels"]

ImageSizePreset: TypeAlias = Literal[
    "square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"
]
"""Names of sizes; :data:`IMAGE_SIZES` has their pixels."""

IMAGE_SIZES: Mapping[ImageSizePreset, tuple[int, int]] = MappingProxyType(
    {
        "square_hd": (1024, 1024),
        "square": (512, 512),
        "portrait_4_3": (768, 1024),
        "portrait_16_9": (576, 1024),
        "landscape_4_3": (1024, 768),
        "landscape_16_9": (1024, 576),
    }
)
"""Width and height in pixels of each preset. klein has other sizes: see :class:`falrt.models.KleinInput`.

Source: wire fact W65, docs/reference/wire.md.
"""


class ImageSize(BaseModel):
    """A size in pixels instead of a preset.

    Attributes:
        width: 1 to 14142, default 512.
        height: Likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=512, gt=0, le=14142)
    height: int = Field(default=512, gt=0, le=14142)


def _size_kind(value: Any) -> str:
    return "preset" if isinstance(value, str) else "object"


ImageSizeChoice: TypeAlias = Annotated[
    Annotated[ImageSizePreset, Tag("preset")] | Annotated[ImageSize, Tag("object")],
    Discriminator(_size_kind),
]
"""A preset's name, or an :class:`ImageSize` (or a mapping of its fields)."""


def image_size_pixels(size: ImageSizePreset | ImageSize) -> tuple[int, int]:
    """Return width and height in pixels of a checked ``image_size``."""
    return (size.width, size.height) if isinstance(size, ImageSize) else IMAGE_SIZES[size]

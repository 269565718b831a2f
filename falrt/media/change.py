"""Tells whether a picture changed, as a gate: ``conn.stream(camera(), gate=media.Changed())``.

Pictures are compared by the brightness of 16 x 16 tiles. The average of a tile hides camera noise and JPEG
artefacts, while a small object that moves still changes its tile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from falrt.exceptions import ConfigurationError
from falrt.media.data_uri import parse_data_uri
from falrt.media.image_header import image_format
from falrt.media.source import BGR, Fitted, is_array, is_pil

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

__all__ = ["Changed"]

TILES: Final = 16
# Samples along a tile's side: enough to average out noise, few enough to take microseconds.
SAMPLES: Final = 4
# Factors that scale an array's values to 0-255; other types have no known range and are compared exactly.
_SCALES: Final = {"uint8": 1.0, "bool": 255.0, "float32": 255.0, "float64": 255.0}


class Changed:
    """Called with the input that was sent last and a newer one; returns whether the newer one should be sent.

    Inputs may be pictures (bytes, data URIs, PIL images, numpy arrays, ``media.BGR``), or maps and typed inputs that
    contain pictures; their other values, such as the prompt, are compared exactly. Encoded pictures are decoded with
    Pillow, in one to two milliseconds; without Pillow they count as changed if their bytes differ. A camera that
    writes every frame into the same array must copy it: an object never differs from itself.

    Args:
        threshold: Difference in brightness, from 0 to 1, that the most changed tile must reach. At 0 any difference
            counts.

    Raises:
        ConfigurationError: The threshold is not a number from 0 to 1.
    """

    __slots__ = ("_seen", "threshold")

    def __init__(self, threshold: float = 0.05) -> None:
        value: object = threshold
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigurationError(
                f"threshold must be a share of the full brightness, 0 to 1, got {threshold!r}"
            )
        self.threshold = threshold
        # Tiles of the pictures of the last call, because the frame sent last is compared with each newer one.
        self._seen: dict[int, tuple[Any, bytes | None]] = {}

    def __repr__(self) -> str:
        return f"Changed(threshold={self.threshold!r})"

    def __call__(self, last: Any, candidate: Any) -> bool:
        """Whether the candidate differs enough from what was sent last."""
        before, self._seen = self._seen, {}
        return self._differs(last, candidate, before)

    def _differs(self, one: Any, other: Any, before: dict[int, tuple[Any, bytes | None]]) -> bool:
        if one is other:
            return False
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            return one.keys() != other.keys() or self._any_differs(one, other, before)
        if hasattr(type(one), "model_fields") and type(one) is type(other):
            return self._any_differs(vars(one), vars(other), before)
        if self.threshold and _is_picture(one) and _is_picture(other):
            first, second = self._tiles(one, before), self._tiles(other, before)
            if first is not None and second is not None:
                largest = max(abs(a - b) for a, b in zip(first, second, strict=True))
                return largest > self.threshold * 255
        return not _equal(one, other)

    def _any_differs(
        self, one: Mapping[str, Any], other: Mapping[str, Any], before: dict[int, tuple[Any, bytes | None]]
    ) -> bool:
        # All are compared, so that the tiles of every picture are ready for the next call.
        differing = [name for name, value in one.items() if self._differs(value, other[name], before)]
        return bool(differing)

    def _tiles(self, picture: Any, before: dict[int, tuple[Any, bytes | None]]) -> bytes | None:
        known = before.get(id(picture))
        tiles = known[1] if known is not None and known[0] is picture else _tiles_of(picture)
        self._seen[id(picture)] = (picture, tiles)
        return tiles


def _is_picture(value: Any) -> bool:
    if isinstance(value, str):
        return value[:11].lower() == "data:image/"
    if isinstance(value, bytes | bytearray | memoryview):
        return image_format(bytes(value[:64])) is not None
    if isinstance(value, Fitted):
        return _is_picture(value.picture)
    return isinstance(value, BGR) or is_array(value) or is_pil(value)


def _tiles_of(picture: Any) -> bytes | None:
    """Return the brightness of each tile, row by row; None if it cannot be determined."""
    if isinstance(picture, Fitted):
        picture = picture.picture
    if isinstance(picture, BGR):
        picture = picture.pixels
    try:
        if is_array(picture):
            return _tiles_of_array(picture)
        if is_pil(picture):
            return _tiles_of_image(picture)
        from PIL import Image

        data = parse_data_uri(picture).data if isinstance(picture, str) else bytes(picture)
        with Image.open(BytesIO(data)) as image:
            # A JPEG can be decoded at an eighth of its size in a fraction of the time.
            image.draft("L", (TILES * SAMPLES, TILES * SAMPLES))
            return _tiles_of_image(image)
    except (
        Exception
    ):  # no Pillow, or a damaged picture, for which Pillow raises many kinds: it is compared exactly
        return None


def _tiles_of_image(image: PILImage) -> bytes | None:
    from PIL.Image import Resampling

    from falrt.media import pillow

    return pillow.flatten(image).convert("L").resize((TILES, TILES), Resampling.BOX).tobytes()


def _tiles_of_array(array: NDArray[Any]) -> bytes | None:
    if array.ndim not in (2, 3) or min(array.shape[:2]) < TILES or array.dtype.name not in _SCALES:
        return None
    height, width = array.shape[:2]
    step_y, step_x = max(1, height // (TILES * SAMPLES)), max(1, width // (TILES * SAMPLES))
    samples = array[::step_y, ::step_x]
    rows, columns = samples.shape[0] // TILES, samples.shape[1] // TILES
    tiles = samples[: rows * TILES, : columns * TILES].reshape(TILES, rows, TILES, columns, -1)
    if array.dtype.kind == "f" and not 0 <= samples.min() <= samples.max() <= 1:
        return None
    brightness: bytes = (
        (tiles.mean(axis=(1, 3, 4)) * _SCALES[array.dtype.name]).clip(0, 255).astype("uint8").tobytes()
    )
    return brightness


def _equal(one: Any, other: Any) -> bool:
    try:
        if is_array(one) or is_array(other):
            import numpy

            return bool(numpy.array_equal(one, other))
        if isinstance(one, BGR) and isinstance(other, BGR):
            return _equal(one.pixels, other.pixels)
        if isinstance(one, Fitted) and isinstance(other, Fitted):
            return one.fit == other.fit and _equal(one.picture, other.picture)
        if is_pil(one) and is_pil(other):
            return (one.mode, one.size) == (other.mode, other.size) and one.tobytes() == other.tobytes()
        if isinstance(one, os.PathLike):
            return False  # the file behind it may have changed
        return bool(one == other)
    except Exception:  # a closed image, or a user's type, may raise anything
        return False

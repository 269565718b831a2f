"""Numpy arrays, OpenCV's frames among them, to JPEG and back.

Arrays are ``(height, width, channels)`` of uint8, values 0 to 255, RGB unless said otherwise.
OpenCV resizes where it is installed (720p to 704 x 704 in under 1 ms against Pillow's 5); it is never needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from falrt.exceptions import ConfigurationError, DecodeError, MissingDependencyError
from falrt.media import pillow
from falrt.media.fit import Fit, Placement, place
from falrt.media.source import Channels, describe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

__all__ = ["check_array", "decode", "encode_jpeg", "fit_pil", "to_pil"]

# Number of channels -> Pillow's mode, and its names for the memory layouts; X is a channel that is skipped.
_LAYOUTS = {
    ("RGB", 1): ("L", "L"),
    ("BGR", 1): ("L", "L"),
    ("RGB", 3): ("RGB", "RGB"),
    ("BGR", 3): ("RGB", "BGR"),
    ("RGB", 4): ("RGB", "RGBX"),
    ("BGR", 4): ("RGB", "BGRX"),
}


def check_array(array: NDArray[Any]) -> None:
    """Refuse an array that is no picture; looks at shape and dtype only.

    Raises:
        ConfigurationError: Names shape and dtype, and what to do.
    """
    channels = 1 if array.ndim == 2 else array.shape[2] if array.ndim == 3 else 0
    if channels not in (1, 3, 4) or array.size == 0:
        cure = "it must be (height, width, 3), (height, width) or (height, width, 4)"
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            cure += "; channels first becomes that by array.transpose(1, 2, 0)"
        raise ConfigurationError(f"a {describe(array)} is not a picture: {cure}")
    if array.dtype != "uint8" and not (array.dtype == "bool" and channels == 1):
        # Unlike in a 16-bit PNG, nothing says where the values of an array end: a depth map in millimetres would
        # come out black.
        more = {"f": pillow.FLOAT_CURE, "u": pillow.DEEP_CURE, "i": pillow.DEEP_CURE}
        cure = pillow.UINT8_CURE + more.get(array.dtype.kind, "")
        raise ConfigurationError(f"a {describe(array)} is not a picture: {cure}")


def encode_jpeg(
    array: NDArray[Any],
    size: tuple[int, int] | None,
    quality: int,
    channels: Channels = "RGB",
    fit: Fit | None = None,
) -> bytes:
    """Fit an array to ``size`` (width, height; None keeps its own) and encode it as JPEG.

    Args:
        array: uint8 of shape ``(height, width, 3)``; ``(height, width)`` or one channel is grey (there bool
            does too, True is white); a fourth channel is ignored.
        size: Pixels to scale to.
        quality: 1 to 95.
        channels: Order of the first three channels.
        fit: What happens to another shape than that of ``size``.

    Raises:
        ConfigurationError: Wrong shape or dtype, or a side too long for a JPEG.
        MissingDependencyError: Pillow is absent.
    """
    check_array(array)
    own = array.shape[1], array.shape[0]
    image = _fitted(array, place(own, size, fit), channels) if size else to_pil(array, channels)
    return pillow.encode_jpeg(image, quality)


def fit_pil(image: PILImage, placement: Placement) -> PILImage:
    """Fit a PIL image of mode RGB or L, with OpenCV where it is installed, else with Pillow."""
    if placement.box_size != placement.inner:
        try:
            import numpy as np
        except ImportError:
            return pillow.fit(image, placement)
        # Both copies together take a millisecond at 720p, and save three.
        return _fitted(np.asarray(image), placement, "RGB")
    return pillow.fit(image, placement)


def _fitted(array: NDArray[Any], placement: Placement, channels: Channels) -> PILImage:
    left, top, right, bottom = placement.box
    cut = array[top:bottom, left:right]
    if placement.box_size != placement.inner and cut.dtype != "bool":
        try:
            import cv2
        except ImportError:
            pass
        else:
            # Linear looks at four pixels only: below half size it would skip some, and area averages them all.
            shrinks = (right - left) > 1.5 * placement.inner[0] or (bottom - top) > 1.5 * placement.inner[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            return pillow.border(
                to_pil(cv2.resize(cut, placement.inner, interpolation=method), channels), placement
            )
    inner = Placement((0, 0, right - left, bottom - top), placement.inner, placement.size)
    return pillow.fit(to_pil(cut, channels), inner)


def to_pil(array: NDArray[Any], channels: Channels = "RGB") -> PILImage:
    """Give a checked array as a PIL image of mode RGB or L; the pixels are copied once."""
    try:
        from PIL import Image
    except ImportError as exc:
        raise MissingDependencyError("Pillow", "images", "encoding an array") from exc
    import numpy as np

    pixels = array.astype(np.uint8) * 255 if array.dtype == "bool" else np.ascontiguousarray(array)
    height, width = pixels.shape[:2]
    mode, layout = _LAYOUTS[channels, 1 if pixels.ndim == 2 else pixels.shape[2]]
    # Pillow's own unpacker reorders the channels while it copies; reversing in numpy would be a second copy.
    return Image.frombytes(mode, (width, height), pixels.data, "raw", layout)


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode an encoded picture to ``(height, width, 3)`` uint8 in RGB order, writable.

    Raises:
        DecodeError: The data are no picture, or one whose numbers have no fixed range.
        MissingDependencyError: Pillow or numpy is absent.
    """
    try:
        import numpy as np
    except ImportError as exc:
        raise MissingDependencyError("numpy", "images", "pictures as arrays") from exc
    image = pillow.decode(data)
    try:
        return np.array(pillow.flatten(image).convert("RGB"))
    except ConfigurationError as exc:  # theirs, not the caller's
        raise DecodeError(str(exc), size=len(data)) from exc

"""Numpy arrays, OpenCV's frames among them, to JPEG and back.

Arrays are ``(height, width, channels)`` of uint8, values 0 to 255, RGB unless said otherwise.
OpenCV resizes where it is installed (720p to 704 x 704 in under 1 ms against Pillow's 5); it is never needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from falrt.exceptions import ConfigurationError, MissingDependencyError
from falrt.media import pillow
from falrt.media.source import describe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

    from falrt.media.data_uri import Channels

__all__ = ["check_array", "decode", "encode_jpeg", "fit", "fit_pil", "to_pil"]

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
        raise ConfigurationError(f"a {describe(array)} is no picture: {cure}")
    if array.dtype != "uint8" and not (array.dtype == "bool" and channels == 1):
        cure = "it must be uint8 with values from 0 to 255"
        if array.dtype.kind == "f":
            cure += "; floats from 0 to 1 become that by (array * 255).astype('uint8')"
        raise ConfigurationError(f"a {describe(array)} is no picture: {cure}")


def encode_jpeg(
    array: NDArray[Any], size: tuple[int, int] | None, quality: int, channels: Channels = "RGB"
) -> bytes:
    """Fit an array to ``size`` (width, height; None keeps its own) and encode it as JPEG.

    Args:
        array: uint8 of shape ``(height, width, 3)``; ``(height, width)`` or one channel is grey (there bool
            does too, True is white); a fourth channel is ignored.
        size: Pixels to cut and scale to.
        quality: 1 to 95.
        channels: Order of the first three channels.

    Raises:
        ConfigurationError: Wrong shape or dtype, or a side too long for a JPEG.
        MissingDependencyError: Pillow is absent.
    """
    check_array(array)
    if size is None:
        pillow.check_sides((array.shape[1], array.shape[0]))
    fitted = array if size is None else fit(array, size)
    image = to_pil(fitted, channels)
    # Without OpenCV the array came back unscaled.
    return pillow.encode_jpeg(image if size is None else pillow.fit(image, size), quality)


def fit(array: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Cut the middle in the aspect ratio of ``size`` (width, height) and scale it with OpenCV.

    Without OpenCV the cut is returned unscaled.
    """
    left, top, right, bottom = pillow.centre_box((array.shape[1], array.shape[0]), size)
    cut = array[top:bottom, left:right]
    if (right - left, bottom - top) == size or cut.dtype == "bool":
        return cut
    try:
        import cv2
    except ImportError:
        return cut
    # Linear looks at four pixels only: below half size it would skip some, and area averages them all.
    shrinks = (right - left) > 1.5 * size[0]
    scaled: NDArray[Any] = cv2.resize(
        cut, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return scaled


def fit_pil(image: PILImage, size: tuple[int, int]) -> PILImage:
    """Fit a PIL image of mode RGB or L to ``size``, with OpenCV where it is installed, else with Pillow."""
    box = pillow.centre_box(image.size, size)
    if (box[2] - box[0], box[3] - box[1]) != size:
        try:
            import numpy as np
        except ImportError:
            return pillow.fit(image, size)
        # Both copies together take a millisecond at 720p, and save three.
        image = to_pil(fit(np.asarray(image), size))
    return pillow.fit(image, size)


def to_pil(array: NDArray[Any], channels: Channels = "RGB") -> PILImage:
    """Give a checked array as a PIL image of mode RGB or L; the pixels are copied once."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("Pillow", "images", "encoding an array") from error
    import numpy as np

    pixels = array.astype(np.uint8) * 255 if array.dtype == "bool" else np.ascontiguousarray(array)
    height, width = pixels.shape[:2]
    mode, layout = _LAYOUTS[channels, 1 if pixels.ndim == 2 else pixels.shape[2]]
    # Pillow's own unpacker reorders the channels while it copies; reversing in numpy would be a second copy.
    return Image.frombytes(mode, (width, height), pixels.data, "raw", layout)


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode an encoded picture to ``(height, width, 3)`` uint8 in RGB order, writable.

    Raises:
        DecodeError: The data are no picture.
        MissingDependencyError: Pillow or numpy is absent.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise MissingDependencyError("numpy", "images", "pictures as arrays") from error
    return np.array(pillow.flatten(pillow.decode(data)).convert("RGB"))

"""Decode, fit and encode with Pillow, the base of every picture conversion here.

Pillow is imported when a function is first called, and its absence is a ``MissingDependencyError``.
"""

from __future__ import annotations

from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING

from falrt.exceptions import ConfigurationError, DecodeError, MissingDependencyError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["centre_box", "check_sides", "convert", "decode", "encode_jpeg", "fit", "flatten"]

# libjpeg's own limit (JPEG_MAX_DIMENSION): a little below the 65535 that the format has room for.
_MAX_JPEG_SIDE = 65500


def decode(data: bytes) -> PILImage:
    """Decode an encoded picture and turn it upright by its EXIF orientation; of an animation the first frame.

    Returns:
        A loaded PIL image of the picture's own mode.

    Raises:
        DecodeError: No picture, a damaged one, or one of absurdly many pixels.
        MissingDependencyError: Pillow is absent.
    """
    pillow = _pillow("decoding a picture")
    from PIL import ImageOps

    try:
        image: PILImage = pillow.open(BytesIO(data))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    # Pillow's plug-ins raise whatever the damaged spot leads to: OSError, SyntaxError, struct.error,
    # ValueError.
    except Exception as error:
        raise DecodeError(f"not a picture that Pillow can decode: {error}", size=len(data)) from error
    return image


def flatten(image: PILImage) -> PILImage:
    """Give the image in mode RGB or L, with transparent parts over white, as JPEG needs it."""
    if image.mode in ("RGB", "L"):
        return image
    pillow = _pillow("converting a picture")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        white = pillow.new("RGBA", layers.size, "white")
        flat: PILImage = pillow.alpha_composite(white, layers).convert("RGB")
        return flat
    return image.convert("RGB")


def fit(image: PILImage, size: tuple[int, int]) -> PILImage:
    """Cut the middle of the image in the aspect ratio of ``size`` (width, height) and scale it to that."""
    if image.size == size:
        return image
    pillow = _pillow("resizing a picture")
    box = centre_box(image.size, size)
    if (box[2] - box[0], box[3] - box[1]) == size:
        return image.crop(box)
    # Bilinear in Pillow widens its filter when shrinking, so it does not alias; it takes half as long as
    # Lanczos.
    return image.resize(size, pillow.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def centre_box(source: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Find the largest centred rectangle of the target's aspect ratio.

    Args:
        source: Width and height of the picture in pixels.
        target: Width and height that are wanted; only their ratio counts.

    Returns:
        Left, top, right and bottom in pixels, right and bottom exclusive; at least one pixel each way.
    """
    (width, height), (target_width, target_height) = source, target
    if width * target_height > height * target_width:
        cut_width, cut_height = max(1, round(height * target_width / target_height)), height
    else:
        cut_width, cut_height = width, max(1, round(width * target_height / target_width))
    left, top = (width - cut_width) // 2, (height - cut_height) // 2
    return left, top, left + cut_width, top + cut_height


def check_sides(size: tuple[int, int]) -> None:
    """Refuse what no JPEG can hold; libjpeg itself would print on stderr.

    Raises:
        ConfigurationError: A side of more than 65500 pixels.
    """
    if max(size) > _MAX_JPEG_SIDE:
        cure = f"the sides of a JPEG have at most {_MAX_JPEG_SIDE} pixels; cut the picture, or give a size"
        raise ConfigurationError(f"a picture of {size[0]} x {size[1]} pixels cannot be encoded: {cure}")


def encode_jpeg(image: PILImage, quality: int) -> bytes:
    """Encode an RGB or L image; colour at half resolution (4:2:0), as cameras do."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def convert(data: bytes, extension: str) -> bytes:
    """Turn an encoded picture into the format that a file name's extension stands for.

    Args:
        data: The encoded picture.
        extension: With its dot, such as ``".png"``.

    Raises:
        DecodeError: The data are no picture.
        KeyError: Pillow knows no such extension.
    """
    pillow = _pillow(f"saving as {extension}")
    name = pillow.registered_extensions()[extension.lower()]
    image = decode(data)
    buffer = BytesIO()
    (flatten(image) if name == "JPEG" else image).save(buffer, name)
    return buffer.getvalue()


def _pillow(purpose: str) -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("Pillow", "images", purpose) from error
    return Image

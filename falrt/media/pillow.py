"""Decodes, fits and encodes pictures with Pillow.

Pillow is imported when a function is first called; if it is absent, that raises a ``MissingDependencyError``.
"""

from __future__ import annotations

from io import BytesIO
from types import ModuleType
from typing import TYPE_CHECKING

from falrt.exceptions import ConfigurationError, DecodeError, MissingDependencyError
from falrt.media.fit import Placement
from falrt.media.source import describe

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = [
    "as_rgb",
    "border",
    "check_mode",
    "check_sides",
    "convert",
    "decode",
    "encode_jpeg",
    "fit",
    "flatten",
    "upright",
]

# libjpeg's own limit (JPEG_MAX_DIMENSION): a little below the 65535 that the format has room for.
_MAX_JPEG_SIDE = 65500
UINT8_CURE = "it must be uint8 with values from 0 to 255"
FLOAT_CURE = "; floats from 0 to 1 become that by (array * 255).astype('uint8')"
DEEP_CURE = "; 16-bit values become that by (array // 257).astype('uint8')"
# Written unchanged if the format has them; Pillow's writers may clip or refuse other modes.
_EVERYDAY_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_ALPHA_MODES = frozenset({"RGBA", "RGBa", "LA", "PA"})
_EXIF_ORIENTATION_TAG = 0x0112
_DEEP_FORMATS = frozenset({"PNG", "TIFF"})


def decode(data: bytes) -> PILImage:
    """Decode a picture, or the first frame of an animation, and turn it upright by its EXIF orientation.

    Returns:
        A loaded PIL image of the picture's own mode, 16-bit grey as ``I;16``.

    Raises:
        DecodeError: Not a picture, a damaged one, or one with so many pixels that Pillow refuses it.
        MissingDependencyError: Pillow is absent.
    """
    pillow = _pillow("decoding a picture")
    try:
        image: PILImage = pillow.open(BytesIO(data))
        image.load()
        # Before Pillow 11 a PNG of 16-bit grey was decoded to 32-bit numbers.
        deep = image.mode == "I" and image.format == "PNG"
        return upright(image.convert("I;16") if deep else image)
    except pillow.UnidentifiedImageError as exc:  # its own text has an address in memory
        raise DecodeError(f"{describe(data)} are not a picture that Pillow knows", size=len(data)) from exc
    # Pillow's plug-ins raise many kinds for damaged data: OSError, SyntaxError, struct.error, ValueError.
    except Exception as exc:
        raise DecodeError(f"not a picture that Pillow can decode: {exc}", size=len(data)) from exc


def upright(image: PILImage) -> PILImage:
    """Rotate an image by its EXIF orientation; one that has none is returned unchanged."""
    from PIL import ImageOps

    if image.getexif().get(_EXIF_ORIENTATION_TAG, 1) == 1:
        return image
    turned: PILImage = ImageOps.exif_transpose(image)
    return turned


def check_mode(image: PILImage) -> None:
    """Refuse an image whose numbers have no fixed range or colours that Pillow cannot convert.

    Raises:
        ConfigurationError: Names the mode and the cure.
    """
    if image.mode == "F":
        cure = UINT8_CURE + FLOAT_CURE
    elif image.mode == "I":
        cure = UINT8_CURE + DEEP_CURE
    elif image.mode == "LAB":
        cure = "it must be grayscale or RGB; PIL.ImageCms.profileToProfile converts it"
    else:
        return
    raise ConfigurationError(f"a {describe(image)} is not a picture that can be sent: {cure}")


def flatten(image: PILImage) -> PILImage:
    """Convert an image to mode RGB or L for JPEG: 16-bit grey is scaled to 8 bits, transparent parts become white.

    Raises:
        ConfigurationError: The numbers of the image have no fixed range (modes ``I`` and ``F``), or it is ``LAB``.
    """
    from PIL import Image

    image = _in_8_bits(image)
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def as_rgb(image: PILImage) -> PILImage:
    """Convert an image of any mode to an upright one in mode RGB.

    Raises:
        ConfigurationError: Its numbers have no fixed range.
    """
    return flatten(upright(image)).convert("RGB")


def _in_8_bits(image: PILImage) -> PILImage:
    """Convert an image to mode L, RGB or, if parts may be transparent, RGBA."""
    check_mode(image)
    if image.mode.startswith("I;16"):
        # 65535 / 257 = 255; through 32-bit numbers, because Pillow has little arithmetic for 16.
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.mode == "La":  # premultiplied grey can only be converted to LA
        image = image.convert("LA")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def fit(image: PILImage, placement: Placement) -> PILImage:
    """Crop, scale and border an image of mode RGB or L as the placement says."""
    from PIL.Image import Resampling

    if placement.box_size != placement.inner:
        # Pillow's bilinear filter is widened when shrinking, so it does not alias; it takes half as long as
        # Lanczos.
        image = image.resize(placement.inner, Resampling.BILINEAR, box=placement.box, reducing_gap=2.0)
    elif placement.inner != image.size:
        image = image.crop(placement.box)
    return border(image, placement)


def border(scaled: PILImage, placement: Placement) -> PILImage:
    """Put the scaled part of a picture on a black frame, if it does not fill the frame."""
    from PIL import Image

    if scaled.size == placement.size:
        return scaled
    frame = Image.new(scaled.mode, placement.size)
    frame.paste(scaled, placement.offset)
    return frame


def check_sides(size: tuple[int, int]) -> None:
    """Refuse a size that no JPEG can have; libjpeg itself would write to stderr.

    Raises:
        ConfigurationError: A side of more than 65500 pixels.
    """
    if max(size) > _MAX_JPEG_SIDE:
        cure = f"the sides of a JPEG have at most {_MAX_JPEG_SIDE} pixels; crop the picture, or pass a size"
        raise ConfigurationError(f"a picture of {size[0]} x {size[1]} pixels cannot be encoded: {cure}")


def encode_jpeg(image: PILImage, quality: int) -> bytes:
    """Encode an RGB or L image; colour at half resolution (4:2:0), as cameras do."""
    check_sides(image.size)
    return _saved(image, "JPEG", quality=quality)


def convert(data: bytes, extension: str) -> bytes:
    """Convert an encoded picture to the format of a file name's extension, such as ``".png"``.

    Modes that the format does not have are converted: transparent parts become white, CMYK becomes RGB, 16-bit grey
    is scaled.

    Raises:
        DecodeError: The data are not a picture, or one whose numbers have no fixed range.
        ConfigurationError: Pillow writes no pictures with this extension, or the picture does not fit the format.
    """
    pillow = _pillow(f"saving as {extension}")
    name = pillow.registered_extensions().get(extension.lower())
    if name not in pillow.SAVE:
        cure = "use .jpg, .png or .webp"
        raise ConfigurationError(f"no picture format is known for the extension {extension!r}; {cure}")
    image = decode(data)
    if image.format == name:
        return data
    is_kept_deep = image.mode.startswith("I;16") and name in _DEEP_FORMATS
    if name == "JPEG":
        check_sides(image.size)
    try:
        if name == "JPEG":
            image = flatten(image)
        elif not is_kept_deep and image.mode not in _EVERYDAY_MODES:
            image = _in_8_bits(image)
        try:
            return _saved(image, name)
        except Exception:  # the format has no such mode
            return _saved(flatten(image), name)
    except ConfigurationError as exc:  # the server's error, not the caller's
        raise DecodeError(str(exc), size=len(data)) from exc
    except Exception as exc:  # usually too large for the format: Pillow's plug-ins raise many kinds
        cure = "save it as .png, or convert it with to_pil()"
        raise ConfigurationError(
            f"a {describe(image)} cannot be saved as {extension}: {exc}; {cure}"
        ) from exc


def _saved(image: PILImage, name: str, **options: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def _pillow(purpose: str) -> ModuleType:
    try:
        from PIL import Image
    except ImportError as exc:
        raise MissingDependencyError("Pillow", "images", purpose) from exc
    return Image

"""The kinds of picture sources: encoded bytes, a file, a data URI, a PIL image, a numpy array.

They are told apart without importing an image library: a value can only be an array if numpy is already
loaded.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from falrt.exceptions import ConfigurationError
from falrt.media.fit import FITS, Fit

if TYPE_CHECKING:
    from typing import TypeGuard

    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

__all__ = [
    "BGR",
    "Channels",
    "Fitted",
    "ImageSource",
    "Size",
    "check_fit",
    "check_no_folder",
    "describe",
    "is_array",
    "is_data_uri",
    "is_pil",
    "is_pixels",
    "is_web_url",
]

Channels: TypeAlias = Literal["RGB", "BGR"]
"""Order of the colors in an array; BGR is OpenCV's."""

Size: TypeAlias = int | tuple[int, int]
"""Pixels: ``(width, height)``, or one number for a square."""


@dataclass(frozen=True, slots=True, eq=False)
class BGR:
    """Marks a numpy array whose channels are in OpenCV's order; accepted wherever a picture is.

    ``KleinInput(image_url=media.BGR(frame))`` takes no time; reversing the channels would copy every frame.

    Attributes:
        pixels: uint8 of shape ``(height, width, 3)`` in BGR order, or ``(height, width, 4)`` in BGRA order.

    Raises:
        ConfigurationError: It is not an array.
    """

    pixels: NDArray[Any]

    def __post_init__(self) -> None:
        if not is_array(self.pixels):
            raise ConfigurationError(f"BGR takes a numpy array, not {describe(self.pixels)}")


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Says how to fit one picture whose aspect ratio differs from its field's: ``media.Fitted(frame, "contain")``.

    Attributes:
        picture: Any other source: a file, a PIL image, an array, :class:`BGR`, encoded bytes.
        fit: ``"cover"``, ``"contain"`` or ``"stretch"``.

    Raises:
        ConfigurationError: Another ``fit``, or a picture that is already in a ``Fitted``.
    """

    picture: ImageSource
    fit: Fit

    def __post_init__(self) -> None:
        check_fit(self.fit)
        if isinstance(self.picture, Fitted):
            raise ConfigurationError("a Fitted picture cannot be wrapped in another Fitted")


if TYPE_CHECKING:
    EncodedSource: TypeAlias = str | bytes | bytearray | memoryview | os.PathLike[str]
    ImageSource: TypeAlias = EncodedSource | BGR | Fitted | PILImage | NDArray[Any]
else:
    # pydantic reads annotations at run time, when the image libraries may be absent.
    ImageSource: TypeAlias = Any


def check_fit(fit: object) -> None:
    """Refuse a value that is not one of the three ways to fit a picture.

    Raises:
        ConfigurationError: Names the value.
    """
    if fit not in FITS:
        raise ConfigurationError(f"fit must be 'cover', 'contain' or 'stretch', not {fit!r}")


def is_array(value: object) -> TypeGuard[NDArray[Any]]:
    """Tell whether the value is a numpy array; OpenCV frames are."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_pil(value: object) -> TypeGuard[PILImage]:
    """Tell whether the value is a Pillow image."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def is_pixels(value: object) -> bool:
    """Tell whether the value contains pixels that have to be encoded before they can be sent."""
    return isinstance(value, BGR | Fitted) or is_array(value) or is_pil(value)


def is_data_uri(value: str) -> bool:
    """Tell whether the text is a data URI."""
    return value[:5].lower() == "data:"


def is_web_url(value: str) -> bool:
    """Tell whether the text is an http or https address."""
    return value[:8].lower().startswith(("http://", "https://"))


def check_no_folder(path: str | os.PathLike[str]) -> None:
    """Refuse the path of a folder, or of a device, which may be endless; does not read the file.

    Raises:
        ConfigurationError: It is one.
        OSError: The path does not exist, or access is denied.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{describe(path)} is a folder; give the path of one picture")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise ConfigurationError(f"{describe(path)} is a device or a socket; give the path of a file")


def describe(value: object) -> str:
    """Describe a value in a few words for an error text, without its pixels."""
    if isinstance(value, BGR):
        return f"BGR {describe(value.pixels)}"
    if isinstance(value, Fitted):
        return f"{describe(value.picture)} ({value.fit})"
    if is_array(value):
        return f"numpy array of shape {value.shape} and dtype {value.dtype}"
    if is_pil(value):
        return f"PIL image of mode {value.mode} and size {value.size}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes starting {bytes(value[:8])!r}"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__

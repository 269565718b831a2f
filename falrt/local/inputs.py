"""What the stand-in's models take, as the server sees it.

These are not `falrt.models`: a client's models turn paths and pixels into frames and refuse fields that they
do not know, while a server must never open a path that came over the wire, and ignores unknown fields as
fal's do. Sharing them would also hide a client's mistakes from itself.

Source: fal's generated endpoint types, and wire facts W60 to W67, docs/reference/wire.md.
"""

from __future__ import annotations

import io
from base64 import b64decode
from typing import Annotated, Any, Literal, Self, TypeAlias

from PIL import Image
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from falrt.media.data_uri import parse_data_uri
from falrt.models import IMAGE_SIZES, ImageSizePreset

__all__ = [
    "DiffusionInput",
    "ImageSize",
    "KleinInput",
    "LightningInput",
    "Picture",
    "Pixels",
    "TurboInput",
    "picture_of",
]

_LARGEST_SIDE = 2048
"""The wire allows 14142; painting 200 megapixels would keep a laptop busy for a minute."""

_LARGEST_PIXELS = 64_000_000
"""Of an input's picture."""


def _decoded(data: bytes) -> Image.Image:
    """Return an encoded picture in RGB.

    Raises:
        PydanticCustomError: Not a picture, or one of more than 64 megapixels; its type is fal's.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height <= _LARGEST_PIXELS:
            return image.convert("RGB")
    except Exception as exc:  # a broken file makes Pillow's readers raise whatever they stumble over
        told = {"size": len(data), "why": str(exc).partition("<_io")[0].strip()}
        raise PydanticCustomError(
            "image_load_error", "cannot load a picture from {size} bytes ({why})", told
        ) from exc
    told = {"width": image.width, "height": image.height}
    raise PydanticCustomError("image_too_large", "a picture of {width}x{height} pixels is too large", told)


def _from_base64(value: Any) -> Any:
    """Take base64 text where a JSON transport carries bytes."""
    return b64decode(value) if isinstance(value, str) else value


def _lightning_steps(value: int) -> int:
    if value not in (1, 2, 4, 8):
        raise ValueError("Input should be '1', '2', '4' or '8'")
    return value


Picture: TypeAlias = Annotated[str, AfterValidator(lambda uri: _decoded(parse_data_uri(uri).data))]
"""A data URI on the wire, an RGB picture (typed ``str`` all the same, see `picture_of`) after validation."""

PictureBytes: TypeAlias = Annotated[
    bytes, BeforeValidator(_from_base64), AfterValidator(lambda data: _decoded(data) if data else None)
]
"""An encoded picture on the wire, where no bytes are no picture; likewise RGB after validation."""


def picture_of(field: Any) -> Image.Image | None:
    """Return what a validated field of one of these types holds."""
    picture: Image.Image | None = field
    return picture


class Pixels(BaseModel):
    """A size as an object."""

    width: int = Field(default=512, gt=0, le=_LARGEST_SIDE)
    height: int = Field(default=512, gt=0, le=_LARGEST_SIDE)


ImageSize: TypeAlias = ImageSizePreset | Pixels


class KleinInput(BaseModel):
    """FLUX.2 [klein] realtime."""

    model_config = ConfigDict(extra="ignore")

    prompt: str = 'Turn this into "Living oil painting, melting gold and sapphire"'
    image_url: Picture
    image_size: Literal["square", "square_hd"] = "square"
    num_inference_steps: int = Field(default=3, ge=1, le=8)
    schedule_mu: float = Field(default=2.3, ge=0.3, le=2.5)
    output_feedback_strength: float = Field(default=1.0, ge=0, le=1)
    enable_interpolation: bool = False
    seed: int | None = 35

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the answer; klein's presets are its own."""
        return (1024, 1024) if self.image_size == "square_hd" else (768, 768)


class DiffusionInput(BaseModel):
    """What LCM, Turbo and Lightning share; defaults are LCM's.

    A route that needs more says so in the validation context: a tuple of ``"picture"`` and ``"mask"``.
    """

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    prompt: str
    negative_prompt: str = ""
    image_size: ImageSize = "square_hd"
    width: int | None = Field(default=None, gt=0, le=_LARGEST_SIDE)
    height: int | None = Field(default=None, gt=0, le=_LARGEST_SIDE)
    num_inference_steps: int = Field(default=6, ge=1, le=50)
    guidance_scale: float = 1.5
    seed: int | None = None
    sync_mode: bool = True
    num_images: int = Field(default=1, ge=1, le=8)
    format: Literal["jpeg", "png"] = "jpeg"
    request_id: str = ""
    image_url: Picture | None = None
    image_bytes: PictureBytes | None = None
    mask_url: Picture | None = None
    strength: float = Field(default=0.95, ge=0, le=1)

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height of the answer; the fields of these names win, as fal's own demos send them."""
        size = self.image_size
        width, height = IMAGE_SIZES[size] if isinstance(size, str) else (size.width, size.height)
        return self.width or width, self.height or height

    @model_validator(mode="after")
    def _has_what_the_route_needs(self, info: ValidationInfo) -> Self:
        needs = info.context or ()
        if "picture" in needs and self.picture is None:
            raise ValueError("image_url or image_bytes is required on this route")
        if "mask" in needs and self.mask_url is None:
            raise ValueError("mask_url is required on this route")
        return self

    @property
    def picture(self) -> Image.Image | None:
        """The frame to paint after; None where there is none."""
        return picture_of(self.image_bytes or self.image_url)


class TurboInput(DiffusionInput):
    """SDXL Turbo: small and quick."""

    image_size: ImageSize = "square"
    num_inference_steps: int = Field(default=2, ge=1, le=50)
    guidance_scale: float = 1.0


class LightningInput(DiffusionInput):
    """SDXL Lightning: few steps, as text on the wire; numbers do as well."""

    num_inference_steps: Annotated[int, AfterValidator(_lightning_steps)] = 4

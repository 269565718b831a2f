"""The SDXL family over realtime: LCM, Turbo and Lightning.

Their HTTP schemas are documented, their realtime routes are not, and the sources disagree: so inputs take
the picture either way (``image_url`` as the documentation says, ``image_bytes`` as fal's own demos do) and
outputs require nothing but the pictures.

Source: fal's generated endpoint types; wire facts W63, W64 and W67, docs/reference/wire.md.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from falrt.models.fields import Flags, ImageField, ImageSource, NumberText
from falrt.models.schema import ModelInput
from falrt.models.sizes import ImageSizeChoice
from falrt.models.spec import RealtimeModel
from falrt.models.still import Embedding, StillOutput

__all__ = [
    "LCM",
    "LIGHTNING",
    "TURBO",
    "LCMInput",
    "LCMOutput",
    "LightningInput",
    "LightningOutput",
    "TurboInput",
    "TurboOutput",
]

# 512 x 512 exactly is fastest (fal's documentation).
_PICTURE = partial(ImageField, (512, 512), fit="cover", size_field="image_size")


class DiffusionInput(ModelInput):
    """A prompt, and perhaps a picture to start from.

    Attributes:
        prompt: What to draw; required.
        image_url: The picture to start from: anything that :class:`~falrt.models.ImageField` takes. Files and
            pixels are cropped to the center and sent as a JPEG of ``image_size``, or if that is not set of
            512 x 512, the fastest size; ``media.Fitted(picture, "contain")`` keeps all of a picture. A web
            address makes the server download it each time.
        image_bytes: The same, sent as raw bytes, which saves a third; fal's own demos do. Pass only one of
            the two.
        mask_url: For inpainting: white areas are filled. Only with a picture.
        strength: How far to depart from the picture; ``round(steps * strength)`` steps are run, so if that is
            below one, nothing happens.
        image_size: A preset's name or a size.
        seed: Keep it fixed against flicker; None is random.
        sync_mode: The picture comes inside the reply instead of as a web address.
        num_images: Pictures per answer.
        expand_prompt: Let the server expand the prompt.
        request_id: Comes back with the answer on most of these apps.
    """

    unknown_field_hints: ClassVar = {"image": "the picture goes in image_url or image_bytes"}

    prompt: str
    image_url: Annotated[ImageSource, _PICTURE(quality=80, web_urls=True)] | None = None
    image_bytes: Annotated[ImageSource, _PICTURE(quality=80, as_bytes=True)] | None = None
    # A mask has hard edges, which low qualities blur.
    mask_url: Annotated[ImageSource, _PICTURE(quality=95, web_urls=True)] | None = None
    strength: float = 0.95
    image_size: ImageSizeChoice = "square_hd"
    seed: int | None = None
    sync_mode: bool = True
    num_images: int = 1
    expand_prompt: bool = False
    request_id: str = ""

    @model_validator(mode="after")
    def _one_picture(self) -> Self:
        if self.image_url is not None and self.image_bytes is not None:
            raise ValueError("image_url and image_bytes are both given; give one of them")
        if self.mask_url is not None and self.image_url is None and self.image_bytes is None:
            raise ValueError("mask_url needs a picture to mask; give image_url or image_bytes too")
        return self


class DiffusionOutput(StillOutput):
    """The pictures of one answer; every other field may be missing on realtime routes.

    Attributes:
        has_nsfw_concepts: One flag per image; also read from the older name ``nsfw_content_detected``.
        num_inference_steps: Steps that were done, if the server sent it.
        request_id: The input's, as it was sent; empty or None if the app does not echo it.
    """

    has_nsfw_concepts: Flags = Field(
        default_factory=list, validation_alias=AliasChoices("has_nsfw_concepts", "nsfw_content_detected")
    )
    num_inference_steps: int | None = None
    request_id: str | None = None

    @property
    def nsfw_content_detected(self) -> list[bool]:
        """The older name of ``has_nsfw_concepts``."""
        return self.has_nsfw_concepts


class LCMInput(DiffusionInput):
    """A prompt, and perhaps a picture to start from; the common fields are those of ``DiffusionInput``.

    Attributes:
        model_name: Base model; gone from the latest schemas, so send it only where it is needed.
        negative_prompt: What to avoid.
        num_inference_steps: Default 6.
        guidance_scale: How closely to follow the prompt, default 1.5.
        guidance_rescale: Also gone from the latest schemas.
        enable_safety_checker: Replace flagged pictures by black ones.
        safety_checker_version: ``"v1"`` (CompVis) or ``"v2"`` (ViT).
        format: Of the picture.
        preserve_aspect_ratio: Image to image: keep the picture's own.
        crop_output: Image to image: cut to the size that was asked for; sizes snap to multiples of 32.
    """

    model_name: Literal["stabilityai/stable-diffusion-xl-base-1.0", "runwayml/stable-diffusion-v1-5"] = (
        "stabilityai/stable-diffusion-xl-base-1.0"
    )
    negative_prompt: str = ""
    num_inference_steps: int = 6
    guidance_scale: float = 1.5
    guidance_rescale: float | None = None
    enable_safety_checker: bool = True
    safety_checker_version: Literal["v1", "v2"] = "v1"
    format: Literal["jpeg", "png"] = "jpeg"
    preserve_aspect_ratio: bool = False
    crop_output: bool = False


class LCMOutput(DiffusionOutput):
    """The pictures of one answer; fields as in ``DiffusionOutput``."""


class TurboInput(DiffusionInput):
    """A prompt, and perhaps a picture to start from; the common fields are those of ``DiffusionInput``.

    Attributes:
        model_name: Base model.
        negative_prompt: What to avoid.
        image_size: Default ``"square"``, 512 x 512.
        num_inference_steps: Default 2.
        guidance_scale: Default 1.0.
        enable_safety_checker: Replace flagged pictures.
        enable_safety_checks: The name that fal's realtime demo uses for it.
        width: Of the output in pixels, as in fal's realtime demo.
        height: Of the output in pixels, as in fal's realtime demo.
    """

    model_name: Literal["stabilityai/sdxl-turbo", "stabilityai/sd-turbo"] = "stabilityai/sdxl-turbo"
    negative_prompt: str = ""
    image_size: ImageSizeChoice = "square"
    num_inference_steps: int = 2
    guidance_scale: float = 1.0
    enable_safety_checker: bool = False
    enable_safety_checks: bool | None = None
    width: int | None = None
    height: int | None = None


class TurboOutput(DiffusionOutput):
    """The pictures of one answer; fields as in ``DiffusionOutput``."""


class LightningInput(DiffusionInput):
    """A prompt; the common fields are those of ``DiffusionInput``.

    The realtime route was seen to ignore the picture fields and to draw from the prompt alone (one report,
    2026).

    Attributes:
        num_inference_steps: ``"1"``, ``"2"``, ``"4"`` or ``"8"``, as text; a number is converted.
        sync_mode: Default False, unlike the others.
        num_images: 1 to 8.
        embeddings: Textual inversions.
        enable_safety_checker: Replace flagged pictures.
        safety_checker_version: ``"v1"`` (CompVis) or ``"v2"`` (ViT).
        format: Of the picture.
        preserve_aspect_ratio: Image to image: keep the picture's own.
        crop_output: Image to image: cut to the size that was asked for.
    """

    num_inference_steps: Annotated[Literal["1", "2", "4", "8"], NumberText] = "4"
    sync_mode: bool = False
    num_images: int = Field(default=1, ge=1, le=8)
    embeddings: list[Embedding] = Field(default=[])
    enable_safety_checker: bool = True
    safety_checker_version: Literal["v1", "v2"] = "v1"
    format: Literal["jpeg", "png"] = "jpeg"
    preserve_aspect_ratio: bool = False
    crop_output: bool = False


class LightningOutput(DiffusionOutput):
    """The pictures of one answer; fields as in ``DiffusionOutput``."""


LCM: Final = RealtimeModel("fal-ai/fast-lcm-diffusion", LCMInput, LCMOutput)
"""Latent consistency models (SDXL or SD 1.5) over realtime.

For the sub-paths build ``RealtimeModel("fal-ai/fast-lcm-diffusion/image-to-image", LCMInput, LCMOutput)``, or
``.../inpainting``; the documentation sends pictures to the plain id as well.
"""
TURBO: Final = RealtimeModel("fal-ai/fast-turbo-diffusion", TurboInput, TurboOutput)
"""SDXL Turbo and SD Turbo over realtime; the model's page marks it as deprecated. Sub-paths as for ``LCM``."""
LIGHTNING: Final = RealtimeModel("fal-ai/fast-lightning-sdxl", LightningInput, LightningOutput)
"""SDXL Lightning over realtime, on this id only, not on its sub-paths; it ignores pictures (wire fact W68)."""

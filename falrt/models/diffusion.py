"""What the SDXL family has in common over realtime: LCM, Turbo and Lightning.

Their HTTP schemas are documented, their realtime routes are not, and the witnesses differ: so inputs take
the picture either way (``image_url`` as the documentation says, ``image_bytes`` as fal's own demos do) and
outputs require nothing but the pictures.

Source: wire facts W63 and W64.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Self

from pydantic import AliasChoices, Field, model_validator

from falrt.models.fields import Flags, ImageField, ImageSource
from falrt.models.schema import ModelInput
from falrt.models.sizes import ImageSizeChoice
from falrt.models.still import StillOutput

__all__ = ["DiffusionInput", "DiffusionOutput"]

# 512 x 512 exactly is fastest (fal's documentation).
_PICTURE = partial(ImageField, (512, 512), fit="cover", size_field="image_size")


class DiffusionInput(ModelInput):
    """A prompt, and perhaps a picture to start from.

    Attributes:
        prompt: What to draw; required.
        image_url: The picture to start from: anything that :class:`~falrt.models.ImageField` takes. Files and
            pixels are cut to the middle and sent as a JPEG of ``image_size``, or where that is not set of
            512 x 512, the fastest size; ``media.Fitted(picture, "contain")`` keeps all of a picture. A web
            address makes the server download it each time.
        image_bytes: The same, sent as raw bytes, which saves a third; fal's own demos do. One of the two at
            most.
        mask_url: For inpainting: white is filled. Only with a picture.
        strength: How far to depart from the picture; ``round(steps * strength)`` steps are run, so below one
            nothing happens.
        image_size: A preset's name or a size.
        seed: Keep it fixed against flicker; None is random.
        sync_mode: The picture comes inside the reply instead of by a web address.
        num_images: Pictures an answer.
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
        has_nsfw_concepts: One flag an image; also read from the older name ``nsfw_content_detected``.
        num_inference_steps: As they were done, where the server says so.
        request_id: As it was sent; empty or None where the app echoes none.
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

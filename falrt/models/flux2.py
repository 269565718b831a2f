"""FLUX.2 over HTTP: klein in its sixteen routes, and turbo.

The realtime klein is :data:`falrt.models.KLEIN`; it has other fields, and no LoRAs.

Source: fal's generated endpoint types, August 2026.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from falrt.models.fields import ImageSource
from falrt.models.sizes import ImageSizeChoice
from falrt.models.spec import Endpoint
from falrt.models.still import PICTURE, Acceleration, Lora, StillInput, StillOutput
from falrt.typing import InputT

__all__ = [
    "FLUX2_KLEIN",
    "FLUX2_KLEIN_4B",
    "FLUX2_KLEIN_4B_BASE",
    "FLUX2_KLEIN_4B_BASE_EDIT",
    "FLUX2_KLEIN_4B_BASE_EDIT_LORA",
    "FLUX2_KLEIN_4B_BASE_LORA",
    "FLUX2_KLEIN_4B_EDIT",
    "FLUX2_KLEIN_4B_EDIT_LORA",
    "FLUX2_KLEIN_4B_LORA",
    "FLUX2_KLEIN_9B",
    "FLUX2_KLEIN_9B_BASE",
    "FLUX2_KLEIN_9B_BASE_EDIT",
    "FLUX2_KLEIN_9B_BASE_EDIT_LORA",
    "FLUX2_KLEIN_9B_BASE_LORA",
    "FLUX2_KLEIN_9B_EDIT",
    "FLUX2_KLEIN_9B_EDIT_LORA",
    "FLUX2_KLEIN_9B_LORA",
    "FLUX2_TURBO",
    "FLUX2_TURBO_EDIT",
    "Flux2KleinBaseEditInput",
    "Flux2KleinBaseEditLoraInput",
    "Flux2KleinBaseInput",
    "Flux2KleinBaseLoraInput",
    "Flux2KleinEditInput",
    "Flux2KleinEditLoraInput",
    "Flux2KleinInput",
    "Flux2KleinLoraInput",
    "Flux2TurboEditInput",
    "Flux2TurboInput",
]

_Picture = Annotated[ImageSource, PICTURE()]
_NO_GUIDANCE = "klein has no guidance; its base variants (Flux2KleinBaseInput) do"


class Flux2KleinInput(StillInput):
    """A prompt for FLUX.2 [klein]; the common fields are those of ``StillInput``.

    Attributes:
        image_size: A preset's name or a size; in the edit routes None, the first picture's own.
        num_inference_steps: Default 4, and 28 for the base variants.
        output_format: Of the picture.
    """

    unknown_field_hints: ClassVar = {
        "guidance_scale": _NO_GUIDANCE,
        "negative_prompt": _NO_GUIDANCE,
        "image_url": "the edit routes take pictures, in image_urls (Flux2KleinEditInput)",
        "loras": "the routes with _LORA take them (Flux2KleinLoraInput)",
    }

    image_size: ImageSizeChoice | None = "landscape_4_3"
    num_inference_steps: int = Field(default=4, ge=1)
    output_format: Literal["jpeg", "png", "webp"] = "png"


class _WithLoras(StillInput):
    loras: list[Lora] = Field(default=[], max_length=3)


class _WithPictures(StillInput):
    image_urls: Annotated[list[_Picture], Field(min_length=1, max_length=4)]
    image_size: ImageSizeChoice | None = None


class Flux2KleinLoraInput(_WithLoras, Flux2KleinInput):
    """As ``Flux2KleinInput``, with at most 3 LoRAs in ``loras``."""


class Flux2KleinEditInput(_WithPictures, Flux2KleinInput):
    """As ``Flux2KleinInput``, with pictures to change.

    Attributes:
        image_urls: 1 to 4: anything that :class:`~falrt.models.ImageField` takes; required.
    """


class Flux2KleinEditLoraInput(_WithLoras, Flux2KleinEditInput):
    """As ``Flux2KleinEditInput``, with at most 3 LoRAs in ``loras``."""


class Flux2KleinBaseInput(Flux2KleinInput):
    """A prompt for FLUX.2 [klein] base, which is slower and can be guided.

    Attributes:
        guidance_scale: How closely to follow the prompt.
        negative_prompt: What to avoid.
        acceleration: Faster, at some loss of quality.
    """

    num_inference_steps: int = Field(default=28, ge=1)
    guidance_scale: float = 5.0
    negative_prompt: str = ""
    acceleration: Acceleration = "regular"


class Flux2KleinBaseLoraInput(_WithLoras, Flux2KleinBaseInput):
    """As ``Flux2KleinBaseInput``, with at most 3 LoRAs in ``loras``."""


class Flux2KleinBaseEditInput(_WithPictures, Flux2KleinBaseInput):
    """As ``Flux2KleinBaseInput``, with 1 to 4 pictures to change in ``image_urls``, as in ``Flux2KleinEditInput``."""


class Flux2KleinBaseEditLoraInput(_WithLoras, Flux2KleinBaseEditInput):
    """As ``Flux2KleinBaseEditInput``, with at most 3 LoRAs in ``loras``."""


class Flux2TurboInput(StillInput):
    """A prompt for FLUX.2 turbo; the common fields are those of ``StillInput``.

    Attributes:
        image_size: A preset's name or a size whose sides lie between 512 and 2048 pixels.
        guidance_scale: How closely to follow the prompt.
        output_format: Of the picture.
        enable_prompt_expansion: Let the server expand the prompt.
    """

    image_size: ImageSizeChoice = "landscape_4_3"
    guidance_scale: float = 2.5
    output_format: Literal["jpeg", "png", "webp"] = "png"
    enable_prompt_expansion: bool = False


class Flux2TurboEditInput(Flux2TurboInput):
    """As ``Flux2TurboInput``, with pictures to change.

    Attributes:
        image_urls: The pictures, of which the first 4 are used; required.
        image_size: Default ``"square_hd"``.
    """

    image_urls: Annotated[list[_Picture], Field(min_length=1)]
    image_size: ImageSizeChoice = "square_hd"


def _klein(path: str, kind: type[InputT]) -> Endpoint[InputT, StillOutput]:
    return Endpoint(f"fal-ai/flux-2/klein/{path}", kind, StillOutput)


FLUX2_KLEIN_4B: Final = _klein("4b", Flux2KleinInput)
FLUX2_KLEIN_4B_LORA: Final = _klein("4b/lora", Flux2KleinLoraInput)
FLUX2_KLEIN_4B_EDIT: Final = _klein("4b/edit", Flux2KleinEditInput)
FLUX2_KLEIN_4B_EDIT_LORA: Final = _klein("4b/edit/lora", Flux2KleinEditLoraInput)
FLUX2_KLEIN_4B_BASE: Final = _klein("4b/base", Flux2KleinBaseInput)
FLUX2_KLEIN_4B_BASE_LORA: Final = _klein("4b/base/lora", Flux2KleinBaseLoraInput)
FLUX2_KLEIN_4B_BASE_EDIT: Final = _klein("4b/base/edit", Flux2KleinBaseEditInput)
FLUX2_KLEIN_4B_BASE_EDIT_LORA: Final = _klein("4b/base/edit/lora", Flux2KleinBaseEditLoraInput)
FLUX2_KLEIN_9B: Final = _klein("9b", Flux2KleinInput)
FLUX2_KLEIN_9B_LORA: Final = _klein("9b/lora", Flux2KleinLoraInput)
FLUX2_KLEIN_9B_EDIT: Final = _klein("9b/edit", Flux2KleinEditInput)
FLUX2_KLEIN_9B_EDIT_LORA: Final = _klein("9b/edit/lora", Flux2KleinEditLoraInput)
FLUX2_KLEIN_9B_BASE: Final = _klein("9b/base", Flux2KleinBaseInput)
FLUX2_KLEIN_9B_BASE_LORA: Final = _klein("9b/base/lora", Flux2KleinBaseLoraInput)
FLUX2_KLEIN_9B_BASE_EDIT: Final = _klein("9b/base/edit", Flux2KleinBaseEditInput)
FLUX2_KLEIN_9B_BASE_EDIT_LORA: Final = _klein("9b/base/edit/lora", Flux2KleinBaseEditLoraInput)
FLUX2_KLEIN: Final = FLUX2_KLEIN_4B
"""FLUX.2 [klein] over HTTP, the faster of its two sizes."""
FLUX2_TURBO: Final = Endpoint("fal-ai/flux-2/turbo", Flux2TurboInput, StillOutput)
"""FLUX.2 turbo."""
FLUX2_TURBO_EDIT: Final = Endpoint("fal-ai/flux-2/turbo/edit", Flux2TurboEditInput, StillOutput)
"""FLUX.2 turbo, with pictures to change."""

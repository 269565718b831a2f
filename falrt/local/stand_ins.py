"""The models that the stand-in serves: which route takes what, how long it works, and what it answers.

Source: fal's generated endpoint types, and wire facts W60 to W68, docs/reference/wire.md.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from PIL import Image

from falrt.local.inputs import DiffusionInput, KleinInput, LightningInput, TurboInput, picture_of
from falrt.local.painter import Order, paint

__all__ = ["STAND_INS", "Memory", "StandIn", "answer_diffusion"]


@dataclass(slots=True)
class Memory:
    """What a model remembers of one connection.

    Attributes:
        previous: The last picture painted, for feedback and interpolation; None before the first.
    """

    previous: Image.Image | None = None


@dataclass(frozen=True, slots=True)
class StandIn:
    """One realtime route.

    Attributes:
        id: Endpoint id without ``/realtime``.
        title: For people.
        input: What the route validates its inputs with.
        answer: Paints one validated input: ``(input, memory) -> output``, in a thread.
        base_seconds: How long the real model takes before its first step.
        step_seconds: How long each of its steps takes.
        needs: Optional fields that this route insists on: ``"picture"``, ``"pictures"``, ``"mask"``.
        reports_timings: Whether outputs carry ``timings.inference``.
    """

    id: str
    title: str
    input: type[KleinInput] | type[DiffusionInput]
    answer: Callable[[Any, Memory], dict[str, Any]]
    base_seconds: float
    step_seconds: float
    needs: tuple[Literal["picture", "pictures", "mask"], ...] = field(default=())
    reports_timings: bool = True

    def read(self, **fields: Any) -> KleinInput | DiffusionInput:
        """Check a decoded input as the app's own class would.

        Raises:
            pydantic.ValidationError: A field is missing or wrong.
        """
        return self.input.model_validate(fields, context=self.needs)

    def seconds(self, given: KleinInput | DiffusionInput) -> float:
        """How long the real model takes for this input, roughly."""
        return self.base_seconds + self.step_seconds * given.num_inference_steps


def _answer_klein(given: KleinInput, memory: Memory) -> dict[str, Any]:
    width, height = given.pixels
    seed = 35 if given.seed is None else given.seed
    # A low shift spreads the denoising evenly: finer work for the same steps.
    shift = (2.5 - given.schedule_mu) / 2.2
    order = Order(
        prompt=given.prompt,
        seed=seed,
        width=width,
        height=height,
        fineness=given.num_inference_steps / 8 + 0.2 * shift,
        strength=0.92,
        frame=picture_of(given.image_url),
    )
    picture = paint(order)
    before = memory.previous if memory.previous is not None and memory.previous.size == picture.size else None
    if before is not None and given.output_feedback_strength < 1:
        picture = Image.blend(before, picture, max(0.15, given.output_feedback_strength))
    pictures = [picture]
    if given.enable_interpolation and before is not None:
        pictures.insert(0, Image.blend(before, picture, 0.5))
    memory.previous = picture
    return {"images": [_raw_image(each, "jpeg") for each in pictures], "seed": seed}


def answer_diffusion(given: DiffusionInput, memory: Memory) -> dict[str, Any]:
    """Paint what a diffusion model is asked for."""
    del memory  # these models remember nothing
    return _paint_diffusion(given, given.picture)


def _answer_lightning(given: DiffusionInput, memory: Memory) -> dict[str, Any]:
    """Lightning's realtime route ignores pictures (wire fact W68)."""
    del memory
    return _paint_diffusion(given, None)


def _paint_diffusion(given: DiffusionInput, frame: Image.Image | None) -> dict[str, Any]:
    width, height = given.pixels
    seed = random.randrange(2**32) if given.seed is None else given.seed
    pictures = [
        paint(
            Order(
                prompt=given.prompt,
                negative_prompt=given.negative_prompt,
                seed=seed + number,
                width=width,
                height=height,
                fineness=given.num_inference_steps / 8,
                strength=given.strength,
                guidance=given.guidance_scale / 2,
                frame=frame,
                mask=picture_of(given.mask_url),
            )
        )
        for number in range(given.num_images)
    ]
    return {
        "images": [_raw_image(picture, given.format) for picture in pictures],
        "seed": seed,
        "num_inference_steps": given.num_inference_steps,
        "has_nsfw_concepts": [False] * len(pictures),
        "request_id": given.request_id,
    }


def _raw_image(picture: Image.Image, kind: Literal["jpeg", "png"]) -> dict[str, Any]:
    """Models reference, section 1.3."""
    out = io.BytesIO()
    # JPEG or PNG; each takes its own option.
    picture.save(out, kind, quality=88, compress_level=1)
    return {
        "content": out.getvalue(),
        "content_type": f"image/{kind}",
        "width": picture.width,
        "height": picture.height,
    }


def _klein(id_: str) -> StandIn:
    return StandIn(
        id_, "FLUX.2 [klein], image to image", KleinInput, _answer_klein, 0.10, 0.05, reports_timings=False
    )


def _family(id_: str, title: str, given: type[DiffusionInput], base: float, step: float) -> list[StandIn]:
    routes: tuple[tuple[str, str, Any], ...] = (
        ("", "", ()),
        ("/image-to-image", ", image to image", ("picture",)),
        ("/inpainting", ", inpainting", ("picture", "mask")),
    )
    return [
        StandIn(id_ + path, title + words, given, answer_diffusion, base, step, needs)
        for path, words, needs in routes
    ]


STAND_INS: Final[tuple[StandIn, ...]] = (
    _klein("fal-ai/flux-2/klein"),
    _klein("fal-ai/flux-2-klein-realtime"),
    *_family("fal-ai/fast-lcm-diffusion", "LCM", DiffusionInput, 0.08, 0.02),
    *_family("fal-ai/fast-turbo-diffusion", "SDXL Turbo", TurboInput, 0.06, 0.02),
    StandIn("fal-ai/fast-lightning-sdxl", "SDXL Lightning", LightningInput, _answer_lightning, 0.10, 0.06),
)
"""Every route served; the path of each is its id and ``/realtime``."""

"""FLUX.2 [klein], image to image, realtime only: ``fal-ai/flux-2/klein/realtime``.

Source: fal's model page and its generated endpoint types; wire facts W60 to W62, docs/reference/wire.md.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from falrt.models.fields import ImageField, ImageSource
from falrt.models.image import Image
from falrt.models.schema import ModelInput, ModelOutput
from falrt.models.spec import RealtimeModel

__all__ = ["KLEIN", "KleinInput", "KleinOutput"]


class KleinInput(ModelInput):
    """One frame and what to turn it into.

    Attributes:
        image_url: The frame; required. Anything that :class:`~falrt.models.ImageField` takes except web
            addresses, which this model does not support. Files and pixels are cropped to the center and sent as a
            704 x 704 JPEG of quality 50, what fal recommends (``media.Fitted(picture, "contain")`` keeps all of
            it); ready bytes and data URIs are sent unchanged, and the server resizes them.
        prompt: What to turn the frame into.
        image_size: ``"square"`` (768 x 768) or ``"square_hd"`` (1024 x 1024).
        num_inference_steps: 1 to 8; more is slower and follows the prompt more closely.
        schedule_mu: 0.3 to 2.5; lower spreads the denoising more evenly, 0.3 is about linear.
        output_feedback_strength: 0 to 1; 1.0 starts from pure noise, 0.9 keeps 10 % of the previous output,
            which steadies a video. The previous output is lost at a reconnect.
        enable_interpolation: Two pictures per answer: an interpolated one, then the current one.
        seed: Keep it fixed against flicker. With None the server uses 35.
    """

    unknown_field_hints: ClassVar = {
        "image_bytes": "klein takes the frame in image_url; bytes may be given there too",
        "loras": "the realtime endpoint has none; klein's HTTP endpoints do",
        "guidance_scale": "klein has no guidance",
        "negative_prompt": "klein has no guidance",
        "sync_mode": "klein always answers with the picture itself",
        "num_images": "klein draws one picture a frame",
        "request_id": "klein echoes none",
    }

    image_url: Annotated[ImageSource, ImageField(size=(704, 704), quality=50, fit="cover")]
    prompt: str = 'Turn this into "Living oil painting, melting gold and sapphire"'
    image_size: Literal["square", "square_hd"] = "square"
    num_inference_steps: int = Field(default=3, ge=1, le=8)
    schedule_mu: float = Field(default=2.3, ge=0.3, le=2.5)
    output_feedback_strength: float = Field(default=1.0, ge=0.0, le=1.0)
    enable_interpolation: bool = False
    seed: int | None = 35


class KleinOutput(ModelOutput):
    """The pictures of one frame.

    Attributes:
        images: The current picture last; with ``enable_interpolation`` the interpolated one comes before it.
        seed: The seed that was used.
    """

    images: list[Image]
    seed: int | None = None


KLEIN: Final = RealtimeModel("fal-ai/flux-2/klein/realtime", KleinInput, KleinOutput)
"""FLUX.2 [klein] realtime."""

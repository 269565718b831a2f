from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from falrt.exceptions import ResponseValidationError
from falrt.media import data_uri, jpeg_bytes, parse_data_uri
from falrt.models import KLEIN, KleinInput, KleinOutput

FRAME = "data:image/jpeg;base64,/9j/"


@pytest.mark.wire("W60")
def test_klein_is_at_its_own_path_and_echoes_no_id() -> None:
    assert (KLEIN.app, KLEIN.path, KLEIN.mode) == ("fal-ai/flux-2/klein/realtime", None, "unary")
    assert not KLEIN.echoes_request_id


def test_defaults_are_the_documented_ones_and_are_not_sent() -> None:
    frame = KleinInput(image_url=FRAME)

    assert frame.model_dump() == {
        "image_url": FRAME,
        "prompt": 'Turn this into "Living oil painting, melting gold and sapphire"',
        "image_size": "square",
        "num_inference_steps": 3,
        "schedule_mu": 2.3,
        "output_feedback_strength": 1.0,
        "enable_interpolation": False,
        "seed": 35,
    }
    assert KLEIN.dump(frame) == {"image_url": FRAME}


def test_the_frame_is_required() -> None:
    with pytest.raises(ValidationError, match="image_url\n  Field required"):
        KLEIN.dump({"prompt": "x"})


@pytest.mark.wire("W61")
def test_web_addresses_are_refused_with_the_cure() -> None:
    with pytest.raises(
        ValidationError, match=r"web addresses are not supported here.*download the picture and give"
    ):
        KleinInput(image_url="https://example.com/me.jpg")


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("num_inference_steps", [1, 8], [0, 9, 2.5]),
        ("schedule_mu", [0.3, 2.5], [0.2, 2.6]),
        ("output_feedback_strength", [0, 1], [-0.1, 1.1]),
        ("image_size", ["square", "square_hd"], ["portrait_4_3", {"width": 768}, None]),
        ("seed", [None, 0, 2**40], ["x"]),
        ("prompt", [""], [None, 5]),
    ],
)
def test_ranges_are_checked(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        KleinInput.model_validate({"image_url": FRAME, field: value})
    for value in bad:
        with pytest.raises(ValidationError, match=field):
            KleinInput.model_validate({"image_url": FRAME, field: value})


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("loras", "HTTP endpoints do"),
        ("image_bytes", "bytes may be given there"),
        ("steps", "KleinInput takes enable_"),
    ],
)
def test_fields_of_other_models_are_refused_with_a_hint(field: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        KLEIN.dump({"image_url": FRAME, field: 1})


@pytest.mark.wire("W61")
def test_pixels_are_sent_as_fal_recommends() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (72, 128, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(noise).resize((1280, 720)))

    uri = KLEIN.dump(KleinInput(image_url=picture))["image_url"]

    image = Image.open(BytesIO(parse_data_uri(uri).data))
    reference = Image.open(BytesIO(jpeg_bytes(picture, 704, 50)))
    assert (image.format, image.size) == ("JPEG", (704, 704))
    assert image.quantization == reference.quantization  # type: ignore[attr-defined]  # JPEG images have it
    middle = np.asarray(Image.fromarray(picture[:, 280:1000]).resize((704, 704)))
    assert np.abs(np.asarray(image).astype(int) - middle).mean() < 8


@pytest.mark.wire("W62")
def test_a_result_of_the_wire_is_read() -> None:
    content = jpeg_bytes(Image.new("RGB", (768, 768), "navy"))
    out = KLEIN.load(
        {
            "images": [{"content": content, "content_type": "image/jpeg", "width": 768, "height": 768}],
            "seed": 35,
        }
    )

    assert type(out) is KleinOutput
    assert out.seed == 35
    assert out.images[-1].to_numpy().shape == (768, 768, 3)


def test_a_result_without_pictures_is_refused() -> None:
    with pytest.raises(ResponseValidationError, match="images"):
        KLEIN.load({"seed": 1})


@given(
    st.builds(
        KleinInput,
        image_url=st.binary(max_size=60).map(lambda rest: data_uri(b"\xff\xd8\xff" + rest)),
        prompt=st.text(),
        image_size=st.sampled_from(["square", "square_hd"]),
        num_inference_steps=st.integers(1, 8),
        schedule_mu=st.floats(0.3, 2.5),
        output_feedback_strength=st.floats(0, 1),
        enable_interpolation=st.booleans(),
        seed=st.integers(0, 2**32),
    )
)
def test_what_is_dumped_validates_again(frame: KleinInput) -> None:
    assert KleinInput.model_validate(KLEIN.dump(frame)) == frame

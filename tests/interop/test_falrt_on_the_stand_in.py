"""falrt's typed models against the stand-in, tokens included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import falrt
from falrt import models
from falrt.local import LocalOptions, LocalServer

# A test that takes longer than this hangs.
PATIENCE = 30
JPEG = b"\xff\xd8\xff"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[LocalServer]:
    with LocalServer(LocalOptions(speed=100, key="id:secret")) as server:
        yield server


@pytest.fixture(scope="module")
def photo() -> Any:
    from PIL import Image

    return Image.radial_gradient("L").convert("RGB")


async def test_klein_turns_a_picture_into_a_picture(stand_in: LocalServer, photo: Any) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        falrt.connect(models.KLEIN, base_url=stand_in.url, key="id:secret") as conn,
    ):
        out = await conn.request(models.KleinInput(image_url=photo, prompt="oil painting", seed=3))

    assert isinstance(out, models.KleinOutput)
    assert out.seed == 3
    assert out.images[-1].bytes().startswith(JPEG)
    assert out.images[-1].to_pil().size == (768, 768), "klein's own meaning of square"


@pytest.mark.parametrize(
    ("model", "input_type"),
    [
        (models.LCM, models.LCMInput),
        (models.TURBO, models.TurboInput),
        (models.LIGHTNING, models.LightningInput),
    ],
)
async def test_the_diffusion_models_draw_a_prompt(stand_in: LocalServer, model: Any, input_type: Any) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        falrt.connect(model, base_url=stand_in.url, key="id:secret") as conn,
    ):
        first, second = await asyncio.gather(
            *(conn.request(input_type(prompt="a fox", seed=seed, image_size="square")) for seed in (1, 2))
        )

    assert isinstance(first, model.output_type)
    assert (first.seed, second.seed) == (1, 2)
    assert first.images[0].bytes().startswith(JPEG)
    assert first.images[0].bytes() != second.images[0].bytes()


@pytest.mark.parametrize("field", ["image_url", "image_bytes"])
async def test_lcm_takes_a_picture_either_way(stand_in: LocalServer, photo: Any, field: str) -> None:
    async with (
        asyncio.timeout(PATIENCE),
        falrt.connect(models.LCM, base_url=stand_in.url, key="id:secret") as conn,
    ):
        given = models.LCMInput(prompt="a fox", strength=0.5, image_size="square", **{field: photo})
        assert (await conn.request(given)).images[0].to_numpy().shape == (512, 512, 3)


async def test_a_stream_through_klein_ends_with_the_last_frame(stand_in: LocalServer, photo: Any) -> None:
    async def camera() -> AsyncIterator[models.KleinInput]:
        for seed in range(12):
            yield models.KleinInput(image_url=photo, prompt="oil painting", seed=seed)
            await asyncio.sleep(0.01)

    async with (
        asyncio.timeout(PATIENCE),
        falrt.connect(models.KLEIN, base_url=stand_in.url, key="id:secret") as conn,
    ):
        replies = [reply async for reply in conn.stream(camera())]

    assert replies[-1].input.seed == 11
    for reply in replies:
        if reply.certain:
            assert reply.output.seed == reply.input.seed


@pytest.mark.parametrize("auth", ["token", "key"])
async def test_a_wrong_key_is_refused_at_once(stand_in: LocalServer, auth: Any) -> None:
    with pytest.raises(falrt.AuthenticationError) as caught:
        async with (
            asyncio.timeout(PATIENCE),
            falrt.connect(models.KLEIN, base_url=stand_in.url, key="someone:else", auth=auth) as conn,
        ):
            await conn.recv()
    assert "someone:else" not in str(caught.value)


def test_the_blocking_connection_draws_too(stand_in: LocalServer) -> None:
    with falrt.sync.connect(models.LCM, base_url=stand_in.url, key="id:secret") as conn:
        out = conn.request(models.LCMInput(prompt="a fox", image_size="square"))
    assert out.images[0].bytes().startswith(JPEG)

"""What a type checker must infer from falrt's public names; checked by mypy, never run."""

# ruff: noqa: F403, F405 - a star import must bring the same names
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, assert_type

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as PILImage
from pydantic import BaseModel

import falrt
from falrt import models
from falrt.models import *
from falrt.testing import BackgroundFakeServer, FakeServer


class Sketch(models.ModelInput):
    drawing: Annotated[ImageSource, ImageField(size=512)]
    prompt: str = ""


class Painting(BaseModel):
    images: list[models.Image]


MINE = falrt.RealtimeModel("acme/app", Sketch, Painting, path="/ws", mode="bidi")
UNTYPED = falrt.RealtimeModel("acme/app", dict[str, Any], dict[str, Any])

assert_type(models.KLEIN, falrt.RealtimeModel[KleinInput, KleinOutput])
assert_type(models.LCM, falrt.RealtimeModel[LCMInput, LCMOutput])
assert_type(models.TURBO, falrt.RealtimeModel[TurboInput, TurboOutput])
assert_type(models.LIGHTNING, falrt.RealtimeModel[LightningInput, LightningOutput])
assert_type(MINE, falrt.RealtimeModel[Sketch, Painting])
assert_type(UNTYPED, falrt.RealtimeModel[dict[str, Any], dict[str, Any]])
assert_type(MINE.load({}), Painting)
assert_type(MINE.dump({"prompt": "x"}), dict[str, Any])

assert_type(falrt.connect(models.KLEIN), falrt.RealtimeConnection[KleinInput, KleinOutput])
assert_type(falrt.connect(models.LCM, key="k"), falrt.RealtimeConnection[LCMInput, LCMOutput])
assert_type(falrt.connect(MINE, max_buffering=2), falrt.RealtimeConnection[Sketch, Painting])
assert_type(falrt.connect("acme/app"), falrt.RealtimeConnection[Any, dict[str, Any]])
assert_type(falrt.data_uri(Path("me.jpg"), 704), str)


def take_lcm(output: LCMOutput) -> None: ...
async def take_lcm_async(output: LCMOutput) -> None: ...
def take_json(output: dict[str, Any]) -> None: ...


falrt.connect(models.LCM, on_result=take_lcm)
falrt.connect(models.LCM, on_result=take_lcm_async)
falrt.connect("acme/app", on_result=take_json)
falrt.connect(models.TURBO, on_result=take_lcm)  # type: ignore[arg-type]  # another model's output
falrt.connect("acme/app", max_bufering=2)  # type: ignore[call-overload]  # a misspelled option
falrt.connect(5)  # type: ignore[call-overload]  # no id
falrt.RealtimeModel("acme/app", Sketch, Painting, mode="duplex")  # type: ignore[arg-type]  # no such mode
falrt.RealtimeModel("acme/app", Sketch, 5)  # type: ignore[arg-type]  # no class
models.KleinInput(image_url="data:", image_size="portrait_4_3")  # type: ignore[arg-type]  # klein has two sizes
models.KleinInput(promt="x", image_url=b"")  # type: ignore[call-arg]  # a misspelled field
models.KleinInput(prompt="x")  # type: ignore[call-arg]  # the frame is missing
models.KLEIM  # type: ignore[attr-defined]  # noqa: B018 - no such model


def frames_of_every_kind(array: NDArray[np.uint8], image: PILImage) -> list[KleinInput]:
    sources: list[ImageSource] = ["data:", b"", bytearray(), Path(), array, image, falrt.media.BGR(array)]
    return [KleinInput(image_url=source, image_size="square_hd") for source in sources]


def pictures(image: models.Image) -> None:
    assert_type(image.bytes(), bytes)
    assert_type(image.save("a.jpg"), Path)
    assert_type(image.to_pil(), PILImage)
    assert_type(image.to_numpy(), NDArray[np.uint8])


async def camera() -> AsyncIterator[KleinInput]:
    yield KleinInput(image_url=b"")


async def typed() -> None:
    async with falrt.connect(models.KLEIN, pacing=falrt.pacing.Latest()) as conn:
        assert_type(conn, falrt.RealtimeConnection[KleinInput, KleinOutput])
        frame = KleinInput(image_url=b"")
        assert_type(await conn.request(frame), KleinOutput)
        assert_type(await conn.request({"image_url": b""}, timeout=1.0), KleinOutput)
        assert_type(await conn.recv(), KleinOutput)
        await conn.send(frame)
        await conn.send(LCMInput(prompt="x"))  # type: ignore[arg-type]  # another model's input
        async for output in conn:
            assert_type(output, KleinOutput)
        async for reply in conn.stream(camera()):
            assert_type(reply, falrt.Reply[KleinInput, KleinOutput])
            assert_type(reply.output.images[-1].to_numpy(), NDArray[np.uint8])


async def untyped() -> None:
    async with falrt.connect("fal-ai/fast-lcm-diffusion") as conn:
        await conn.send({"prompt": "a sunset"})
        assert_type(await conn.request({"prompt": "a sunset"}), dict[str, Any])
        assert_type(await conn.recv(), dict[str, Any])


async def several() -> None:
    async with falrt.Client(key="k") as fal, fal.connect(models.LCM) as a, fal.connect("acme/app") as b:
        assert_type(await a.recv(), LCMOutput)
        assert_type(await b.recv(), dict[str, Any])


async def over_http() -> None:
    async with falrt.Client(key="k") as fal:
        given = {"prompt": "a cat"}
        assert_type(await fal.run("fal-ai/flux/schnell", given), dict[str, Any])
        assert_type(await fal.run(models.LCM, LCMInput(prompt="x"), timeout=30), LCMOutput)
        assert_type(await fal.subscribe(models.LCM, given, on_update=print, logs=True), LCMOutput)
        await fal.run("fal-ai/flux/schnell", given, time_out=30)  # type: ignore[call-overload]
        still = await fal.run(models.FLUX_SCHNELL, models.FluxSchnellInput(prompt="x"))
        assert_type(still, models.StillOutput)
        assert_type(await falrt.batch(models.FLUX_SCHNELL, [given], client=fal), falrt.BatchReport)
        async for result in fal.map(models.LCM, [given], concurrency=2):
            assert_type(result, LCMOutput | Exception)
        job = await fal.submit("fal-ai/flux/dev", given, priority="low")
        assert_type(job, falrt.Job[dict[str, Any]])
        async for status in job.events(logs=True):
            assert_type(status, falrt.Queued | falrt.InProgress | falrt.Completed)
        assert_type(await fal.job(models.LCM, job.request_id).result(), LCMOutput)
        assert_type(await job.cancel(), bool)


def blocking() -> None:
    with falrt.sync.Client(key="k") as fal, fal.connect(models.LCM) as conn:
        given = {"prompt": "a cat"}
        assert_type(conn, falrt.sync.Connection[LCMInput, LCMOutput])
        assert_type(conn.request(LCMInput(prompt="x")), LCMOutput)
        assert_type(fal.run("fal-ai/flux/schnell", given), dict[str, Any])
        assert_type(fal.run(models.LCM, LCMInput(prompt="x"), timeout=30), LCMOutput)
        assert_type(fal.subscribe(models.LCM, given, logs=True), LCMOutput)
        fal.run("fal-ai/flux/schnell", given, time_out=30)  # type: ignore[call-overload]
        for result in fal.map(models.LCM, [given], concurrency=2):
            assert_type(result, LCMOutput | Exception)
        job = fal.submit("fal-ai/flux/dev", given, priority="low")
        assert_type(job, falrt.sync.Job[dict[str, Any]])
        for status in job.events(logs=True):
            assert_type(status, falrt.Queued | falrt.InProgress | falrt.Completed)
        assert_type(fal.job(models.LCM, job.request_id).result(), LCMOutput)
        assert_type(fal.upload(b"x"), str)
        with fal.pipeline(models.LCM) as pipeline:
            assert_type(pipeline.run(LCMInput(prompt="x")), LCMOutput)


async def a_fake_server() -> None:
    async with FakeServer() as server, server.connect(models.LCM) as conn, server.connect() as plain:
        assert_type(conn, falrt.RealtimeConnection[models.LCMInput, models.LCMOutput])
        assert_type(await plain.request({}), dict[str, Any])
    with BackgroundFakeServer() as blocking, blocking.connect(models.LCM) as sync_conn:
        assert_type(sync_conn, falrt.sync.Connection[models.LCMInput, models.LCMOutput])

# ruff: noqa: SIM117 - servers outside, sockets inside
from __future__ import annotations

from typing import Any

import httpx
import msgpack
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect

from falrt import server
from falrt.server.metrics import Metrics
from falrt.server.standalone import bearer, standalone
from falrt.testing import FakeServer
from tests.server.serving import KEY, serving
from tests.server.test_relay import closing, echo, next_result


def made(**options: Any) -> server.Routes:
    return server.routes(**{"allow": ["acme/app"], "authorize": server.anyone, "key": KEY, **options})


def samples(text: str) -> dict[str, float]:
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_prometheus_reads_what_happened() -> None:
    async with FakeServer(echo, key=KEY) as fal:
        app = standalone(made(base_url=fal.url))
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
            async with connect(url.replace("http", "ws") + "/api/fal/realtime/acme/app") as ws:
                await ws.send(msgpack.packb({"prompt": "a fox"}))
                await next_result(ws)
                figures = samples((await http.get("/metrics")).text)
    assert figures["falrt_pictures_total[]"] == 1
    assert figures["falrt_sockets[('kind', 'relay')]"] == 1
    assert figures["falrt_latency_seconds_count[]"] == 1
    assert figures["falrt_latency_seconds_bucket[('le', '+Inf')]"] == 1


def test_latencies_fall_into_their_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.01, 0.05, 0.06, 3.0, 60.0):
        metrics.latency(seconds)
    figures = samples(metrics.text())
    counts = [
        figures[f"falrt_latency_seconds_bucket[('le', '{bound}')]"]
        for bound in ("0.05", "0.1", "5.0", "+Inf")
    ]
    assert counts == [2, 3, 4, 5]


async def test_the_figures_are_for_this_machine_and_for_who_has_the_secret() -> None:
    app = standalone(made(), authorize=bearer("open sesame"))
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://192.0.2.1") as http:
        assert (await http.get("/metrics")).status_code == 401
        headers = {"authorization": "Bearer open sesame"}
        assert (await http.get("/metrics", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Basic open sesame", "Bearer open sesame2", "Bearer é"]
)
async def test_a_wrong_secret_opens_nothing(given: str) -> None:
    app = standalone(made(authorize=bearer("open sesame")))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        url = "/api/fal/token?app=acme/app&secret=open+sesame"
        assert (await http.get(url, headers={b"authorization": given.encode()})).status_code == 401


async def test_those_who_share_the_secret_have_limits_of_their_own() -> None:
    async with FakeServer(key=KEY) as fal:
        limit = server.Limit(requests=1)
        app = standalone(made(base_url=fal.url, authorize=bearer("sesame"), limit=limit))
        statuses = []
        for address in ("192.0.2.7", "192.0.2.8", "192.0.2.7"):
            transport = httpx.ASGITransport(app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                headers = {"authorization": "Bearer sesame"}
                statuses.append((await http.get("/api/fal/token?app=acme/app", headers=headers)).status_code)
    assert statuses == [200, 200, 429]


async def test_a_socket_may_bring_the_secret_in_its_url() -> None:
    async with FakeServer(echo, key=KEY) as fal:
        async with serving(standalone(made(base_url=fal.url, authorize=bearer("sesame")))) as url:
            socket = url.replace("http", "ws") + "/api/fal/realtime/acme/app"
            async with connect(socket) as ws:
                assert (await closing(ws))[0] == 4401
            async with connect(f"{socket}?secret=sesame") as ws:
                await ws.send(msgpack.packb({"prompt": "a fox"}))
                assert (await next_result(ws))[0]["echo"] == "a fox"

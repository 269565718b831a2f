"""The server under load: many viewers of one stream, many relayed browsers, one in ten of them stalled.

    python -m benchmarks.relay                      # both servers, viewers and browsers
    python -m benchmarks.relay --viewers 0 --browsers 20 --seconds 5

Beside ``falrt.server`` runs the plainest relay one would write with Starlette and websockets (``plain_app``). Server,
fal's side and load have a process each. Ages are measured from when a picture was published (viewers) or its frame was
sent (browsers) to when it had arrived; the clock is the machine's monotonic one. Only the healthy ones count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from typing import Any

import httpx
import msgpack
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PICTURE_BYTES = 20_000
PUBLISHED_PER_SECOND = 2.0
FRAMES_PER_SECOND = 5.0
SERVICE_SECONDS = 0.5
APP = "acme/app"


# --- fal's side: a runner that works on one input at a time and keeps the newest two


async def fal() -> None:
    from falrt.testing import FakeServer

    def paint(message: Any) -> Any:
        return {"at": message["at"], "picture": bytes(PICTURE_BYTES)}

    async with FakeServer(paint, buffering=2, service_time=SERVICE_SECONDS, key=None) as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()


# --- the two servers


def stats(request: Request) -> JSONResponse:
    del request
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return JSONResponse({"cpu": used.ru_utime + used.ru_stime, "bytes": pages * os.sysconf("SC_PAGE_SIZE")})


def picture() -> bytes:
    return msgpack.packb({"at": time.monotonic(), "picture": bytes(PICTURE_BYTES)})  # type: ignore[no-any-return]


def our_app(fal_port: int) -> Starlette:
    from falrt import server

    limit = server.Limit(sockets=10_000, requests=1_000_000)
    routes = server.routes(
        allow=[APP],
        authorize=server.anyone,
        key="bench",
        base_url=f"http://127.0.0.1:{fal_port}",
        limit=limit,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> Any:
        async def publish() -> None:
            while True:
                await routes.channels.publish("stage", picture())
                await asyncio.sleep(1 / PUBLISHED_PER_SECOND)

        publishing = asyncio.create_task(publish())
        async with routes.lifespan(app):
            yield
        publishing.cancel()

    return Starlette(routes=[Route("/stats", stats), *routes], lifespan=lifespan)


def plain_app(fal_port: int) -> Starlette:
    viewers: set[WebSocket] = set()

    async def watch(ws: WebSocket) -> None:
        await ws.accept()
        viewers.add(ws)
        try:
            while True:
                await ws.receive_bytes()
        except (WebSocketDisconnect, KeyError):
            viewers.discard(ws)

    async def publish() -> None:
        while True:
            frame = picture()
            for ws in list(viewers):
                try:
                    await ws.send_bytes(frame)
                except (WebSocketDisconnect, RuntimeError):
                    viewers.discard(ws)
            await asyncio.sleep(1 / PUBLISHED_PER_SECOND)

    async def relay(ws: WebSocket) -> None:
        await ws.accept()
        key = {"Authorization": "Key bench"}
        url = f"ws://127.0.0.1:{fal_port}/{APP}/realtime"
        async with connect(url, max_size=None, additional_headers=key) as upstream:

            async def back() -> None:
                async for frame in upstream:
                    await ws.send_bytes(frame)

            answering = asyncio.create_task(back())
            with contextlib.suppress(WebSocketDisconnect, ConnectionClosed, KeyError):
                while True:
                    await upstream.send(await ws.receive_bytes())
            answering.cancel()

    @contextlib.asynccontextmanager
    async def lifespan(app: object) -> Any:
        del app
        publishing = asyncio.create_task(publish())
        yield
        publishing.cancel()

    routes = [
        Route("/stats", stats),
        WebSocketRoute("/api/fal/watch/stage", watch),
        WebSocketRoute("/api/fal/realtime/{app:path}", relay),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def serve_app(kind: str, port: int, fal_port: int) -> None:
    app = our_app(fal_port) if kind == "falrt" else plain_app(fal_port)
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    if kind == "falrt":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 128 * 1024)  # as `falrt proxy` does
    config = uvicorn.Config(app, log_level="error", ws_per_message_deflate=False, ws_ping_interval=None)
    uvicorn.Server(config).run(sockets=[listener])


# --- the load


def opened(url: str, stalled: bool) -> Any:
    """Connect; who will stall has little room, so that it shows within seconds."""
    line = socket.socket()
    if stalled:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    host, _, port = url.removeprefix("ws://").partition("/")[0].partition(":")
    line.connect((host, int(port)))
    line.setblocking(False)
    return connect(url, sock=line, compression=None, max_size=None, ping_interval=None)


async def collect(ws: Any, ages: list[float], ready: asyncio.Event) -> None:
    async for frame in ws:
        if isinstance(frame, bytes) and ready.is_set():
            ages.append(time.monotonic() - msgpack.unpackb(frame)["at"])  # noqa: PERF401 - as they come


async def watch(url: str, stalled: bool, ages: list[float], ready: asyncio.Event) -> None:
    async with opened(f"{url}/watch/stage", stalled) as ws:
        if stalled:
            ws.transport.pause_reading()
            await asyncio.Event().wait()
        await collect(ws, ages, ready)


async def browse(url: str, stalled: bool, ages: list[float], ready: asyncio.Event) -> None:
    async with opened(f"{url}/realtime/{APP}", stalled) as ws:
        if stalled:
            ws.transport.pause_reading()
        reading = asyncio.create_task(collect(ws, ages, ready))
        try:
            while True:
                await ws.send(msgpack.packb({"at": time.monotonic(), "frame": bytes(8000)}))
                await asyncio.sleep(1 / FRAMES_PER_SECOND)
        finally:
            reading.cancel()


async def asked(port: int) -> dict[str, float]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer: dict[str, float] = (await http.get(f"http://127.0.0.1:{port}/stats")).json()
        return answer


async def measure(role: Any, count: int, port: int, seconds: float, stall: bool) -> str:
    url = f"ws://127.0.0.1:{port}/api/fal"
    before = await asked(port)
    ages: list[float] = []
    ready = asyncio.Event()
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(role(url, stall and number % 10 == 0, ages, ready)))
        if number % 20 == 19:
            await asyncio.sleep(0.05)
    await asyncio.sleep(seconds / 2)
    began = await asked(port)
    ready.set()
    await asyncio.sleep(seconds)
    ended = await asked(port)
    ready.clear()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=10)
    ages.sort()
    memory = (ended["bytes"] - before["bytes"]) / count / 1024
    if not ages:
        return f"{'none':>10} {'-':>8} {'-':>8} {'-':>12} {memory:>10.0f}"
    cpu = (ended["cpu"] - began["cpu"]) / len(ages) * 1e6
    p50, p95 = (ages[int(share * (len(ages) - 1))] * 1000 for share in (0.5, 0.95))
    return f"{len(ages) / seconds:>8.0f}/s {p50:>8.0f} {p95:>8.0f} {cpu:>12.0f} {memory:>10.0f}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def process(*arguments: object) -> Any:
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.relay", *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


async def until_open(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


async def run(viewers: int, browsers: int, seconds: float) -> None:
    print(f"pictures of {PICTURE_BYTES} bytes; {PUBLISHED_PER_SECOND:g} a second published; browsers send")
    print(f"{FRAMES_PER_SECOND:g} frames a second to a model that takes {SERVICE_SECONDS * 1000:g} ms\n")
    head = f"{'pictures':>10} {'p50 ms':>8} {'p95 ms':>8} {'CPU us each':>12} {'KiB each':>10}"
    print(f"{'':<44}{head}")
    for what, role, count in (
        (f"{viewers} viewers", watch, viewers),
        (f"{browsers} browsers", browse, browsers),
    ):
        if not count:
            continue
        for stall in (False, True):
            for kind in ("falrt", "plain"):
                port = free_port()
                with process("--role", "fal") as model:
                    fal_port = int(model.stdout.readline())
                    with process("--role", kind, "--port", port, "--fal", fal_port):
                        await until_open(port)
                        try:
                            line = await measure(role, count, port, seconds, stall)
                        except httpx.HTTPError:
                            line = "  the server does not answer any more"
                name = f"{kind}: {what}{', one in ten stalled' if stall else ''}"
                print(f"{name:<44}{line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--browsers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--role", choices=["fal", "falrt", "plain"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fal", type=int, default=0)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384) if soft < 16_384 else soft, hard))
    if options.role == "fal":
        asyncio.run(fal())
    elif options.role:
        serve_app(options.role, options.port, options.fal)
    else:
        asyncio.run(run(options.viewers, options.browsers, options.seconds))


if __name__ == "__main__":
    main()

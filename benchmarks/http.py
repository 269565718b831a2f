"""Calls over HTTP beside fal-client: CPU of a call, wall time of many, memory of a large upload; and falrt generate.

    python -m benchmarks.http [--calls 2000] [--upload-mib 1024]

The far end is a process of its own that costs next to nothing, so that what is measured is the client. Each contender
runs in a process of its own. A figure is the median of five rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

APP = "fal-ai/flux/schnell"
INPUT = {"prompt": "a red fox in the snow", "image_size": "square", "num_inference_steps": 4, "seed": 7}
ANSWER = json.dumps(
    {"images": [{"url": "https://v3.fal.media/files/a/b.jpg", "width": 512, "height": 512}], "seed": 7}
).encode()
ROUNDS = 5
MANY, CONCURRENCY, SERVICE = 200, 8, 0.005


class Far(asyncio.Protocol):
    """Answers every request; bodies are counted and thrown away."""

    delay = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport, self.head, self.left = transport, b"", 0

    def data_received(self, data: bytes) -> None:
        while data:
            if self.left:
                taken = min(self.left, len(data))
                self.left, data = self.left - taken, data[taken:]
                if not self.left:
                    self.answer()
                continue
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data, self.head = self.head[:end].lower(), self.head[end + 4 :], b""
            self.first = head.split(b"\r\n", 1)[0]
            found = head.find(b"content-length:")
            self.left = int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if not self.left:
                self.answer()

    def answer(self) -> None:
        origin = "http://{}:{}".format(*self.transport.get_extra_info("sockname"))
        body = ANSWER
        if b"/storage/auth/token" in self.first:
            body = (
                b'{"token":"t","token_type":"Bearer","base_url":"x","expires_at":"2099-01-01T00:00:00+00:00"}'
            )
        elif b"/files/upload/multipart" in self.first:
            body = json.dumps({"access_url": f"{origin}/files/1/a", "uploadId": "u"}).encode()
        elif b"/files/upload" in self.first:
            body = json.dumps({"access_url": f"{origin}/files/1/a"}).encode()
        reply = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: 1\r\ncontent-length: %d\r\n\r\n"
            % len(body)
        )
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self.transport.write, reply + body)
        else:
            self.transport.write(reply + body)


def serve(pipe: Any, delay: float) -> None:
    """Run the far end until it is ended."""

    async def main() -> None:
        Far.delay = delay
        server = await asyncio.get_running_loop().create_server(Far, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextlib.contextmanager
def far(delay: float = 0.0) -> Iterator[str]:
    """Give the far end's URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, delay), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


async def falrt_caller(url: str, use: Callable[[Callable[[], Awaitable[Any]]], Awaitable[float]]) -> float:
    import falrt

    async with falrt.Client(key="id:secret", base_url=url) as fal:
        return await use(lambda: fal.run(APP, INPUT))


async def fal_client_caller(
    url: str, use: Callable[[Callable[[], Awaitable[Any]]], Awaitable[float]]
) -> float:
    import fal_client

    fal_client.client.RUN_URL_FORMAT = f"{url}/"
    client = fal_client.AsyncClient(key="id:secret")
    try:
        return await use(lambda: client.run(APP, INPUT))
    finally:
        await (await client._client).aclose()


CALLERS = {"falrt": falrt_caller, "fal-client": fal_client_caller}


def cpu_of_calls(name: str, url: str, calls: int) -> float:
    """Return microseconds of CPU for one call on a kept connection."""

    async def use(call: Callable[[], Awaitable[Any]]) -> float:
        for _ in range(100):
            await call()
        figures = []
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(calls // ROUNDS):
                await call()
            figures.append((time.process_time() - began) / (calls // ROUNDS) * 1e6)
        return statistics.median(figures)

    return asyncio.run(CALLERS[name](url, use))


def wall_of_many(name: str, url: str, calls: int) -> float:
    """Return seconds for many calls at equal concurrency: ``map()`` beside gather() with a semaphore."""
    del calls

    async def ours() -> float:
        import falrt

        figures = []
        async with falrt.Client(key="id:secret", base_url=url) as fal:
            for _ in range(ROUNDS):
                began = time.perf_counter()
                results = [each async for each in fal.map(APP, [INPUT] * MANY, concurrency=CONCURRENCY)]
                figures.append(time.perf_counter() - began)
                assert len(results) == MANY
                assert not any(isinstance(each, Exception) for each in results)
        return statistics.median(figures)

    async def use(call: Callable[[], Awaitable[Any]]) -> float:
        room = asyncio.Semaphore(CONCURRENCY)

        async def one() -> Any:
            async with room:
                return await call()

        figures = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(MANY)))
            figures.append(time.perf_counter() - began)
        return statistics.median(figures)

    return asyncio.run(ours() if name == "falrt" else fal_client_caller(url, use))


def memory_of_upload(name: str, url: str, mib: int) -> float:
    """Return MiB that the process grew at most while it uploaded a file."""
    with tempfile.NamedTemporaryFile(dir=os.environ.get("TMPDIR")) as file:
        file.truncate(mib * 1024 * 1024)

        async def ours() -> float:
            import falrt

            async with falrt.Client(key="id:secret", base_url=url) as fal:
                await fal.upload(b"warm")
                rest = peak()
                await fal.upload(file.name)
                return peak() - rest

        async def theirs() -> float:
            import fal_client

            fal_client.client.REST_URL = fal_client.client.CDN_URL = url
            client = fal_client.AsyncClient(key="id:secret")
            manager = await client._token_manager
            token = await manager.get_token()
            token.base_upload_url = url
            rest = peak()
            await client.upload_file(file.name)
            return peak() - rest

        return asyncio.run(ours() if name == "falrt" else theirs())


def start_of_generate() -> float:
    """Return the seconds from the start of `falrt generate` to the first byte of its request."""
    figures = []
    command = [sys.executable, "-m", "falrt", "generate", "--prompt", "a red fox in the snow"]
    for _ in range(ROUNDS):
        with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryDirectory() as folder:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            environment = {**os.environ, "FALRT_BASE_URL": url, "FAL_KEY": "id:secret"}
            began = time.perf_counter()
            process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
            listener.settimeout(30)
            line, _ = listener.accept()
            with line:
                assert line.recv(5) == b"POST "
                figures.append(time.perf_counter() - began)
            process.kill()
            process.wait()
    return statistics.median(figures)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(measure: Callable[[str, str, int], float], name: str, url: str, amount: int) -> float:
    """Measure in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (name, url, amount))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--upload-mib", type=int, default=1024)
    options = parser.parse_args()
    rows = (
        ("CPU of run(), us", cpu_of_calls, options.calls, 0.0),
        (f"wall of {MANY} calls at {CONCURRENCY}, s", wall_of_many, 0, SERVICE),
        (f"memory of {options.upload_mib} MiB, MiB", memory_of_upload, options.upload_mib, 0.0),
    )
    print(f"{'':34}{'falrt':>12}{'fal-client':>12}{'ratio':>8}")
    for title, measure, amount, delay in rows:
        with far(delay) as url:
            ours, theirs = (apart(measure, name, url, amount) for name in CALLERS)
        print(f"{title:34}{ours:12.2f}{theirs:12.2f}{ours / theirs if theirs else 0:8.2f}")
    print(f"{'falrt generate to its request, s':34}{start_of_generate():12.2f}")


if __name__ == "__main__":
    main()

"""Autobahn's fuzzing server against our transport: every case of the WebSocket protocol, echoed.

    python -m chaos.autobahn ws://127.0.0.1:9001                           # a fuzzing server that runs already
    python -m chaos.autobahn ws://127.0.0.1:9001 --compression deflate
    make autobahn PYTHON2=python2.7                                        # install the suite, and run all of it

The test suite (``autobahntestsuite`` of the package index) runs on Python 2.7 only. ``--python2`` serves cases 1 to 10
without compression and cases 12 and 13 with it, from the suite in ``--home``, and tells each that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from falrt.connection.dialing import open_socket
from falrt.connection.framing import Received

AGENT = "falrt"
CASE_SECONDS = 900.0
# What passes by the suite's own count: NON-STRICT is right but not as soon as could be; INFORMATIONAL only looks.
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")
# Exit code: nothing was tried.
NO_SERVER = 75
# The suite's folder is added as a site, for its namespace packages are made by .pth files.
SERVER = "import site, sys; site.addsitedir(sys.path.pop(1)); from autobahntestsuite.wstest import run; sys.exit(run())"


async def converse(url: str, *, compression: str | None = None, echo: bool = True) -> list[str]:
    """Echo text as text and binary as binary until the server ends the socket; return the text that came."""
    ended = asyncio.get_running_loop().create_future()
    waiting: deque[str | bytes] = deque()
    texts: list[str] = []
    ws = await open_socket(
        url, headers={}, ssl=None, max_size=64 << 20, proxy=None, compression=compression, user_agent=AGENT
    )

    def pump() -> None:
        while waiting and ws.writable:
            ws.write(waiting.popleft())

    def take(message: Received, size: int) -> None:
        if echo:
            waiting.append(message if isinstance(message, str) else bytes(message))
            pump()
        elif isinstance(message, str):
            texts.append(message)

    def changed() -> None:
        if not ws.gone:
            pump()
        elif not ended.done():
            ended.set_result(None)

    ws.listen(take, changed)
    try:
        if not ws.gone:
            async with asyncio.timeout(CASE_SECONDS):
                await ended
    finally:
        await ws.close_politely()
    return texts


async def run(url: str, compression: str | None) -> dict[str, str]:
    """Run every case that the server has; return each one's verdict."""
    (count,) = await converse(f"{url}/getCaseCount", echo=False)
    verdicts = {}
    for number in range(1, int(count) + 1):
        (told,) = await converse(f"{url}/getCaseInfo?case={number}", echo=False)
        await converse(f"{url}/runCase?case={number}&agent={AGENT}", compression=compression)
        (status,) = await converse(f"{url}/getCaseStatus?case={number}&agent={AGENT}", echo=False)
        verdicts[json.loads(told)["id"]] = json.loads(status)["behavior"]
    await converse(f"{url}/updateReports?agent={AGENT}", echo=False)
    return verdicts


def report(verdicts: dict[str, str]) -> bool:
    """Print what came of the cases; return whether all passed."""
    failed = {case: verdict for case, verdict in verdicts.items() if verdict not in GOOD}
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(Counter(verdicts.values()).items()))
    lines = [
        f"{len(verdicts)} cases: {counts}",
        *(f"  {case}: {verdict}" for case, verdict in failed.items()),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return not failed


@contextlib.contextmanager
def fuzzing_server(python2: str, home: Path, cases: list[str], excluded: list[str]) -> Iterator[str]:
    """Serve cases of the test suite; give the server's URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    spec = home / "fuzzingserver.json"
    url = f"ws://127.0.0.1:{port}"
    spec.write_text(
        json.dumps({"url": url, "outdir": str(home / "reports"), "cases": cases, "exclude-cases": excluded})
    )
    command = [python2, "-c", SERVER, "-m", "fuzzingserver", "-s", str(spec)]
    environment = {**os.environ, "PYTHONPATH": str(home / "suite")}
    log = (home / "server.log").open("w")
    server = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)  # noqa: S603
    try:
        _wait_for(port)
        yield url
    finally:
        server.terminate()
        server.wait()
        log.close()


def _wait_for(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    sys.stderr.write("the fuzzing server did not start: see server.log\n")
    raise SystemExit(NO_SERVER)


def main() -> None:
    """Run the cases, and fail where one failed."""
    parser = argparse.ArgumentParser(description="Autobahn's cases against our transport.")
    parser.add_argument("url", nargs="?", help="a fuzzing server, such as ws://127.0.0.1:9001")
    parser.add_argument("--compression", choices=["deflate"])
    parser.add_argument("--python2", help="a Python 2.7 to run the test suite with")
    parser.add_argument(
        "--home", type=Path, default=Path(".autobahn"), help="where the folder suite is, and reports go"
    )
    arguments = parser.parse_args()
    if arguments.python2 is None:
        if arguments.url is None:
            parser.error("give the URL of a fuzzing server, or --python2")
        sys.exit(not report(asyncio.run(run(arguments.url.rstrip("/"), arguments.compression))))
    home = arguments.home.resolve()
    home.mkdir(exist_ok=True)
    passed = []
    parts: list[tuple[Any, ...]] = [(["*"], ["12.*", "13.*"], None), (["12.*", "13.*"], [], "deflate")]
    for cases, excluded, compression in parts:
        with fuzzing_server(arguments.python2, home, cases, excluded) as url:
            passed.append(report(asyncio.run(run(url, compression))))
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()

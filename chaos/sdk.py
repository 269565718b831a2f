"""fal's own server SDK for a chaos run, in a process of its own, which is deployed anew every few seconds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

__all__ = ["Sdk", "sdk_served"]

DEPLOYMENT_SECONDS: Final = 12.0
# fal's packages take seconds to import on a busy machine.
START_SECONDS: Final = 60.0


class Sdk:
    """The server's process.

    Attributes:
        url: Where it listens, also after a deployment.
        deployments: How often it was restarted.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.url = ""
        self.deployments = 0

    async def ready(self) -> None:
        """Wait until it listens.

        Raises:
            RuntimeError: It did not start.
        """
        assert self._process.stdout is not None  # noqa: S101 - it was opened with a pipe
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        if not line.strip():
            raise RuntimeError("fal's server did not start: run `python -m chaos.sdk_app` to see why")
        self.url = f"http://127.0.0.1:{int(line)}"

    async def deploy_for_ever(self) -> None:
        """Restart it again and again."""
        assert self._process.stdin is not None  # noqa: S101 - it was opened with a pipe
        while True:
            await asyncio.sleep(DEPLOYMENT_SECONDS)
            self._process.stdin.write(b"deploy\n")
            await self.ready()
            self.deployments += 1


@asynccontextmanager
async def sdk_served(*, deploys: bool = True) -> AsyncIterator[Sdk]:
    """Serve the app of ``chaos.sdk_app`` while the block runs, deployed anew every few seconds if need be."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "chaos.sdk_app"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # The SDK tells of each client that went away in the middle, and of tasks that it forgot.
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
    )
    sdk = Sdk(process)
    try:
        await sdk.ready()
        if not deploys:
            yield sdk
            return
        deploying = asyncio.create_task(sdk.deploy_for_ever(), name="chaos deployments")
        try:
            yield sdk
        finally:
            deploying.cancel()
            await asyncio.wait([deploying])
    finally:
        process.kill()
        await process.communicate()

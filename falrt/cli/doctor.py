"""``falrt doctor``: does it work from here, step by step, and where it does not, what to do about it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from falrt.cli.shared import Local, Model, plain_console

if TYPE_CHECKING:
    from falrt.cli.choices import Choice

__all__ = ["EXTRAS", "doctor"]

T = TypeVar("T")

EXTRAS = {
    "images": ("PIL", "numpy"),
    "video": ("av",),
    "local": ("typer", "rich", "starlette", "uvicorn"),
    "batch": ("diskcache",),
    "fast": ("pybase64",),
    "proxy": ("python_socks", "socksio"),
}
"""What each extra brings, by the names that are imported."""

_PATIENCE = 60.0
"""Seconds for each step; a cold model may take longer, and is then worth telling."""


def doctor(model: Model = "klein", local: Local = False) -> None:
    """Try each step of making a picture: say what works, what does not, and what to do.

    The exit code is 1 if something does not work. On fal, it requests and pays for one picture.
    """
    import asyncio
    import importlib.util
    import platform

    import falrt
    from falrt.cli.choices import choose
    from falrt.cli.endpoint import endpoint, told

    choice = choose(model, {})
    console = plain_console()

    def tell(step: str, words: str) -> None:
        console.print(f"{step:<9} {words}")

    tell("versions", f"falrt {falrt.__version__}, Python {platform.python_version()}, {platform.platform()}")
    for extra, modules in EXTRAS.items():
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        if absent:
            tell("extra", f"{extra}: no {', '.join(absent)} (optional: pip install 'falrt[{extra}]')")
    try:
        with endpoint(local=local) as options:
            tell("key", "not needed" if local else _where_the_key_is())
            tell("server", _where_the_server_is(options.get("base_url")))
            asyncio.run(_try(choice, options, tell))
    except falrt.FalrtError as exc:
        tell("FAILED", told(exc))
        raise typer.Exit(1) from exc
    tell("result", "everything works")


def _where_the_key_is() -> str:
    from falrt.auth import find_key

    find_key()
    for names in (("FAL_KEY",), ("FAL_KEY_ID", "FAL_KEY_SECRET")):
        if all(os.environ.get(name, "").strip() for name in names):
            return f"found in {' and '.join(names)}"
    return "found in the notebook's secret FAL_KEY"


def _where_the_server_is(base_url: str | None) -> str:
    if base_url is not None:
        return f"{base_url} (a local stand-in)"
    named = os.environ.get("FALRT_BASE_URL", "").strip()
    return f"{named} (FALRT_BASE_URL)" if named else "fal"


async def _try(choice: Choice, options: dict[str, Any], tell: Callable[[str, str], None]) -> None:
    import falrt
    from falrt.auth import TokenCache, find_key
    from falrt.cli.motion import Motion
    from falrt.options import find_proxies
    from falrt.protocol.wire.endpoint import Endpoint

    connection = falrt.connect(choice.model, **options)
    base_url = options.get("base_url") or os.environ.get("FALRT_BASE_URL", "").strip() or None
    cache = TokenCache(key=find_key(options.get("key")), base_url=base_url, proxies=find_proxies(True))
    async with contextlib.aclosing(cache) as tokens:
        alias = Endpoint.parse(choice.model.app).alias
        _, taken = await _timed(lambda: tokens.get(connection.app, alias), "token")
        tell("token", f"minted in {taken}")
    try:
        _, taken = await _timed(connection.__aenter__, "socket")
        tell("socket", f"open after {taken} (with a token of its own): {connection.app}")
        given = choice.build(Motion().draw(1.0), "an oil painting of a small boat at sea")
        output, taken = await _timed(lambda: connection.request(given), "picture")
        picture = output.images[-1].to_pil()
        tell("picture", f"{picture.width} x {picture.height} pixels in {taken}")
    finally:
        await connection.close()


async def _timed(step: Callable[[], Awaitable[T]], name: str) -> tuple[T, str]:
    import asyncio

    from falrt.exceptions import RequestTimeout

    began = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE):
            result = await step()
    except TimeoutError as exc:
        raise RequestTimeout(f"no {name} within {_PATIENCE:g} s") from exc
    return result, f"{(time.monotonic() - began) * 1000:.0f} ms"

"""``falrt serve``: the stand-in for fal on a port."""

from __future__ import annotations

from typing import Annotated

from falrt.cli.shared import Host, Port, Quiet, Speed, flag, option, plain_console

__all__ = ["serve"]

_EXAMPLE = """\
[bold]In another terminal:[/bold]

  export FALRT_BASE_URL={url} FAL_KEY={key}
  python - <<'PY'
  import asyncio, falrt
  from falrt import models

  async def main():
      async with falrt.connect(models.LCM) as conn:
          out = await conn.request(models.LCMInput(prompt="a sunset over mountains, oil painting"))
          print(out.images\\[0].save("sunset.jpg"))

  asyncio.run(main())
  PY
"""


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8765,
    speed: Speed = 1.0,
    latency: Annotated[float, option("SECONDS", "Delay of every frame, each way.")] = 0.0,
    idle_timeout: Annotated[float, option("SECONDS", "Time without input until TIMEOUT; 0: never.")] = 30.0,
    buffering: Annotated[int, option("N", "Inputs that may wait for the model; 0: no limit.", min=0)] = 2,
    key: Annotated[str | None, option("KEY", "The only key that is accepted; default: any.")] = None,
    no_auth: Annotated[bool, flag("--no-auth", "Accept everyone, without a key or token.")] = False,
    verbose: Annotated[bool, flag("--verbose", "Log connections.", "-v")] = False,
    quiet: Quiet = False,
) -> None:
    """Serve a local stand-in for fal whose models draw without a GPU."""
    from falrt import local

    if verbose:
        import logging

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("httpx").setLevel(logging.WARNING)
    console = plain_console(quiet=quiet)
    options = local.LocalOptions(
        speed=speed,
        latency=latency,
        idle_timeout=idle_timeout or None,
        buffering=buffering or None,
        check_keys=not no_auth,
        key=key,
    )

    def started(url: str) -> None:
        console.print(
            f"A local stand-in for fal at [bold cyan]{url}[/bold cyan]  (Ctrl-C ends it)\n", markup=True
        )
        # The key itself stays out of terminals and logs.
        shown = "local" if key is None else "THE_KEY_YOU_GAVE"
        console.print(_EXAMPLE.format(url=url, key=shown), markup=True)

    local.serve(host, port, options, started=started)
    console.print("stopped")

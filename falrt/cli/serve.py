"""``falrt serve``: the stand-in for fal on a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from falrt.local.options import LocalOptions

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


def serve(console: Console, host: str, port: int, options: LocalOptions) -> None:
    """Serve until interrupted, and say where.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    from falrt import local

    def started(url: str) -> None:
        console.print(f"A local stand-in for fal at [bold cyan]{url}[/bold cyan]  (Ctrl-C ends it)\n")
        # The key itself stays out of terminals and logs.
        key = "local" if options.key is None else "THE_KEY_YOU_GAVE"
        console.print(_EXAMPLE.format(url=url, key=key), highlight=False, soft_wrap=True)

    local.serve(host, port, options, started=started)
    console.print("stopped")

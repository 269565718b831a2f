"""The page that the stand-in shows to a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from falrt.local.options import LocalOptions
    from falrt.local.stand_ins import StandIn

__all__ = ["front_page"]

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid #8886; padding: .35rem .6rem .35rem 0; vertical-align: top }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #8882; border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto }
"""


def front_page(
    base_url: str, models: Sequence[StandIn], stills: Sequence[StandIn], options: LocalOptions
) -> str:
    """Say what is served here and how to point falrt at it.

    Args:
        base_url: The server's own address as the browser reached it, without a trailing slash.
        models: The realtime routes.
        stills: The endpoints over HTTP beside them.
        options: How the server behaves.
    """
    url = escape(base_url)
    rows = "\n".join(
        f"<tr><td><code>{escape(model.id)}/realtime</code></td><td>{escape(model.title)}</td></tr>"
        for model in models
    ) + "\n".join(
        f"<tr><td><code>{escape(model.id)}</code></td><td>{escape(model.title)}, over HTTP</td></tr>"
        for model in stills
    )
    keys = "any key that is not empty is good" if options.key is None else "one key is good"
    key = "local" if options.key is None else "THE_KEY_YOU_GAVE"  # the key itself stays out of pages
    keys = keys if options.check_keys else "keys are not checked"
    idle = "never" if options.idle_timeout is None else f"after {options.idle_timeout:g} s"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>falrt: local stand-in for fal</title>
<style>{_STYLE}</style></head>
<body>
<h1>A local stand-in for fal</h1>
<p>Models that draw with numpy and Pillow instead of a GPU.
Addresses, tokens and frames are fal's, with every host below this one: <code>{url}/fal-ai/…</code> for
<code>fal.run</code>, and <code>{url}/queue.fal.run/…</code>, <code>{url}/ws.fal.run/…</code>,
<code>{url}/rest.fal.ai/…</code> and <code>{url}/v3.fal.media/…</code> for the others.</p>
<pre>export FALRT_BASE_URL={url}
export FAL_KEY={key}</pre>
<pre>import asyncio, falrt
from falrt import models

async def main():
    async with falrt.connect(models.LCM) as conn:
        out = await conn.request(models.LCMInput(prompt="a sunset over mountains, oil painting"))
        out.images[0].save("sunset.jpg")

asyncio.run(main())</pre>
<table>{rows}</table>
<p>Tokens: <code>POST {url}/tokens/</code> and <code>POST {url}/tokens/realtime</code>; {keys}.
Idle sockets end {idle}; {options.speed:g} times the speed of the real models.</p>
</body></html>
"""

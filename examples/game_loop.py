"""A game loop: it runs at its own rate, sends a frame in each iteration and shows the newest picture.

Needs: pip install 'falrt[local]'
Use: python examples/game_loop.py [seconds]
"""

import asyncio
import sys
import time

import numpy as np

import falrt
from falrt import models, pacing
from falrt.local import fal_or_stand_in


def render(tick: int) -> np.ndarray:
    """The game's own picture (256 x 256 x 3, RGB)."""
    frame = np.zeros((256, 256, 3), np.uint8)
    column = tick * 3 % 200
    frame[90:170, column : column + 50] = (250, 120, 60)
    return frame


async def main(seconds: float = 3.0) -> None:
    shown, tick, newest = 0, 0, None
    with fal_or_stand_in() as where:
        async with falrt.connect(models.KLEIN, pacing=pacing.Latest(), **where) as conn:
            end_at = None  # the time counts from the first picture: a cold model takes its time
            while end_at is None or time.monotonic() < end_at:
                # Returns at once: while the model is busy, only the newest frame waits.
                await conn.send(models.KleinInput(image_url=render(tick), prompt="neon city", seed=2))
                reply = conn.latest()
                if reply is not None and reply is not newest:
                    newest, shown = reply, shown + 1
                    end_at = end_at or time.monotonic() + seconds
                tick += 1
                await asyncio.sleep(1 / 60)
            print(f"{tick} turns, {conn.stats.received} pictures, {conn.stats.dropped} frames skipped")
    if newest is not None:
        newest.output.images[-1].save("game.jpg")


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:2])))

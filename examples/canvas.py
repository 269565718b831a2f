"""A drawing canvas: strokes come fast, and Debounce asks for a picture when the drawing pauses.

Needs: pip install 'falrt[local]'
Use: python examples/canvas.py
"""

import asyncio
import itertools

from PIL import Image, ImageDraw

import falrt
from falrt import models, pacing
from falrt.local import fal_or_stand_in

STROKES = [(60 + 8 * step, 380 - 5 * step) for step in range(40)]


async def main() -> None:
    sketch = Image.new("RGB", (512, 512), "white")
    pen = ImageDraw.Draw(sketch)
    painted = []

    def show(output: models.LCMOutput) -> None:
        output.images[0].save(f"canvas-{len(painted)}.jpg")
        painted.append(output)

    with fal_or_stand_in() as where:
        # A picture once the pen rests for 100 ms, and at least each half second while it moves.
        policy = pacing.Debounce(0.1, max_wait=0.5)
        async with falrt.connect(models.LCM, pacing=policy, on_result=show, **where) as conn:
            for start, end in itertools.pairwise(STROKES):
                pen.line([start, end], fill="navy", width=14)
                # A copy: the canvas goes on changing while this state of it waits.
                await conn.send(
                    models.LCMInput(prompt="a mountain at sunset", image_url=sketch.copy(), strength=0.6)
                )
                await asyncio.sleep(0.02)
            await conn.flush()
            await conn.drain(timeout=60)
            print(f"{len(STROKES) - 1} strokes, {conn.stats.sent} sent, {conn.stats.dropped} superseded")
            print(f"{len(painted)} pictures: canvas-0.jpg to canvas-{len(painted) - 1}.jpg")


if __name__ == "__main__":
    asyncio.run(main())

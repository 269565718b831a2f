"""A webcam through Klein, live in a window. Without a camera or a display it sends a moving disc and saves pictures.

Needs: pip install 'falrt[local]' opencv-python
Use: python examples/webcam.py [seconds]
"""

import asyncio
import os
import sys
import time

import cv2
import numpy as np

import falrt
from falrt import media, models
from falrt.local import fal_or_stand_in

PROMPT = "Turn this into an oil painting of molten gold and sapphire"


def disc(at: float) -> np.ndarray:
    """A frame (480 x 640 x 3, BGR) for machines without a camera."""
    frame = np.full((480, 640, 3), (120, 80, 40), np.uint8)
    x, y = int(320 + 200 * np.cos(at * 3)), int(240 + 120 * np.sin(at * 4))
    return cv2.circle(frame, (x, y), 70, (60, 180, 250), -1)


async def camera(seconds: float):
    """Frames until the time is up; reading blocks, so it is done in a thread."""
    capture = cv2.VideoCapture(0)
    end_at = time.monotonic() + seconds
    try:
        while time.monotonic() < end_at:
            there, frame = await asyncio.to_thread(capture.read) if capture.isOpened() else (False, None)
            if not there:
                frame = disc(end_at - time.monotonic())
                await asyncio.sleep(1 / 30)
            yield models.KleinInput(image_url=media.BGR(frame), prompt=PROMPT)
    finally:
        capture.release()


async def main(seconds: float = 5.0) -> None:
    window = bool(os.environ.get("DISPLAY")) and hasattr(cv2, "imshow")
    count = 0
    with fal_or_stand_in() as where:
        async with falrt.connect(models.KLEIN, idle_close=10, **where) as conn:
            async for reply in conn.stream(camera(seconds)):
                picture = cv2.cvtColor(reply.output.images[-1].to_numpy(), cv2.COLOR_RGB2BGR)
                count += 1
                if window:
                    cv2.imshow("falrt", picture)
                    cv2.waitKey(1)
                elif count % 10 == 1:
                    cv2.imwrite(f"webcam-{count:03}.jpg", picture)
            print(
                f"{count} pictures, {conn.stats.fps:.1f} a second, latency p95 {conn.stats.latency.p95:.3f} s"
            )


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:2])))

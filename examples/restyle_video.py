"""Restyle a video file, frame by frame, into another one. No frame is skipped.

Needs: pip install 'falrt[local,video]'
Use: python examples/restyle_video.py [in.mp4 [out.mp4]]
"""

import asyncio
import sys
from collections.abc import Iterator

import av
import numpy as np

import falrt
from falrt import models
from falrt.local import fal_or_stand_in


def own_frames(count: int = 12) -> Iterator[np.ndarray]:
    """Frames (360 x 640 x 3, RGB) of a rising sun, where no file is given."""
    y, x = np.mgrid[:360, :640]
    for step in range(count):
        frame = np.dstack([60 + y // 3, 40 + y // 4, 140 - y // 4]).astype(np.uint8)
        frame[(x - 320) ** 2 + (y - 300 + 18 * step) ** 2 < 70**2] = (255, 200, 80)
        yield frame


def frames_of(path: str) -> Iterator[np.ndarray]:
    with av.open(path) as video:
        for frame in video.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


async def main(source: str = "", target: str = "restyled.mp4") -> None:
    frames = frames_of(source) if source else own_frames()
    inputs = (
        models.KleinInput(image_url=frame, prompt="watercolour, soft light", seed=7) for frame in frames
    )
    with fal_or_stand_in() as where, av.open(target, "w") as video:
        stream = video.add_stream("mpeg4", rate=12)
        async with falrt.connect(models.KLEIN, **where) as conn:
            async for reply in conn.stream(inputs):
                picture = reply.output.images[-1].to_numpy()
                if not stream.codec_context.is_open:
                    stream.height, stream.width = picture.shape[:2]
                video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            video.mux(stream.encode(None))
            print(f"{conn.stats.received} frames in {conn.stats.open_seconds:.1f} s: {target}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))

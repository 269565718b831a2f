"""Pictures in and out: send a PIL image, a numpy array and an OpenCV frame to the same model.

Needs: pip install 'falrt[local]' opencv-python
Use: python examples/pil_and_opencv.py
"""

import asyncio

import cv2
import numpy as np
from PIL import Image

import falrt
from falrt import media, models
from falrt.local import fal_or_stand_in


async def main() -> None:
    rgb = np.zeros((600, 800, 3), np.uint8)
    rgb[:, :, 0] = np.linspace(40, 250, 800, dtype=np.uint8)  # redder to the right
    rgb[200:400, 300:500] = (30, 200, 120)
    sources = {
        "pil": Image.fromarray(rgb),
        "numpy": rgb,
        "opencv": media.BGR(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)),
    }
    with fal_or_stand_in() as where:
        async with falrt.connect(models.KLEIN, **where) as conn:
            for name, picture in sources.items():
                out = await conn.request(models.KleinInput(image_url=picture, prompt="stained glass", seed=3))
                image = out.images[-1]
                image.save(f"{name}.jpg")  # the bytes as they came
                shape = image.to_numpy().shape  # (height, width, 3), RGB
                print(
                    f"{name}: {image.to_pil().size[0]} x {shape[0]} pixels, {len(image.bytes())} bytes: {name}.jpg"
                )


if __name__ == "__main__":
    asyncio.run(main())

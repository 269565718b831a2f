"""A webcam in Gradio: each visitor's newest frame goes through Klein.

Needs: pip install 'falrt[local]' gradio
Use: python examples/gradio_webcam.py, then open the URL that it prints
"""

import gradio
import numpy as np

import falrt
import falrt.sync
from falrt import models
from falrt.local import fal_or_stand_in


def create_app(conn: falrt.sync.Connection[models.KleinInput, models.KleinOutput]) -> gradio.Blocks:
    def restyle(frame: np.ndarray | None, prompt: str) -> np.ndarray | None:
        if frame is None:  # the camera has only just been allowed
            return None
        out = conn.request(models.KleinInput(image_url=frame, prompt=prompt, seed=1))
        return out.images[-1].to_numpy()

    with gradio.Blocks(title="falrt") as app:
        prompt = gradio.Textbox("oil painting, molten gold and sapphire", label="Prompt")
        with gradio.Row():
            camera = gradio.Image(sources=["webcam"], streaming=True, type="numpy", label="Camera")
            picture = gradio.Image(label="Picture", streaming=True)
        # One frame of a visitor at a time: Gradio sends the next when this one has come back.
        camera.stream(restyle, [camera, prompt], picture, stream_every=0.1, concurrency_limit=4)
    return app


if __name__ == "__main__":
    # A socket that is open is billed: it opens with the first frame, and closes when none comes for a while.
    with fal_or_stand_in() as fal, falrt.sync.connect(models.KLEIN, lazy=True, idle_close=10, **fal) as conn:
        create_app(conn).launch()

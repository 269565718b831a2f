"""Blocking calls, as in a Jupyter notebook or a plug-in: no await, no event loop of your own.

Needs: pip install 'falrt[local]'
Use: python examples/notebook.py
"""

import falrt.sync
from falrt import models
from falrt.local import fal_or_stand_in


def main() -> None:
    with fal_or_stand_in() as where, falrt.sync.connect(models.TURBO, **where) as conn:
        # One question, one answer. In a notebook, `out.images[0].to_pil()` as a cell's last line shows the picture.
        out = conn.request(models.TurboInput(prompt="a red fox in the snow", seed=1))
        out.images[0].save("fox.jpg")

        # Many, one after the other, each with its own answer.
        words = ["spring", "summer", "autumn", "winter"]
        inputs = [models.TurboInput(prompt=f"a red fox in {word}", seed=1) for word in words]
        for word, reply in zip(words, conn.stream(inputs), strict=True):
            reply.output.images[0].save(f"fox-{word}.jpg")
            print(f"fox-{word}.jpg after {reply.latency * 1000:.0f} ms")


if __name__ == "__main__":
    main()

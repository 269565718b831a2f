"""A lively little scene, drawn for any moment: what the demo streams where there is no camera."""

from __future__ import annotations

from functools import cached_property
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["Motion"]

_LOOP_SECONDS = 8.0


class Motion:
    """A bouncing ball, a turning star and a boat on the waves, under a sun that rises and sets.

    Args:
        side: Pixels of the square picture.
    """

    def __init__(self, side: int = 704) -> None:
        self.side = side

    def draw(self, seconds: float) -> Image.Image:
        """Draw the scene as it is some seconds after the beginning; it repeats every 8."""
        turn = 2 * pi * seconds / _LOOP_SECONDS
        image = self._sky.copy()
        draw = ImageDraw.Draw(image)
        self._sun(draw, turn)
        self._hills(draw, turn)
        self._waves(draw, turn)
        self._star(draw, turn)
        self._ball(draw, seconds)
        return image

    @cached_property
    def _sky(self) -> Image.Image:
        down = np.linspace(0, 1, self.side, dtype=np.float32)[:, None, None]
        top, horizon = np.array([62, 120, 205], np.float32), np.array([250, 214, 170], np.float32)
        rows = np.broadcast_to(top * (1 - down) + horizon * down, (self.side, self.side, 3))
        return Image.fromarray(rows.astype(np.uint8))

    def _disc(self, draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: str) -> None:
        """A circle; all lengths are fractions of the side."""
        x, y, radius = x * self.side, y * self.side, radius * self.side
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def _sun(self, draw: ImageDraw.ImageDraw, turn: float) -> None:
        x, y = 0.5 - 0.36 * cos(turn / 2 % pi), 0.44 - 0.30 * sin(turn / 2 % pi)
        self._disc(draw, x, y, 0.105, "#ffe9b8")
        self._disc(draw, x, y, 0.075, "#fff6d8")

    def _hills(self, draw: ImageDraw.ImageDraw, turn: float) -> None:
        for level, height, pace, colour in ((0.52, 0.10, 1, "#8c95b5"), (0.60, 0.07, 2, "#5f8f6b")):
            points = [
                (x, level - height * (sin(5 * x + pace * turn) + 0.5 * sin(11 * x + pace * turn + 1)) / 1.5)
                for x in (step / 24 for step in range(25))
            ]
            self._fill_below(draw, points, colour)

    def _waves(self, draw: ImageDraw.ImageDraw, turn: float) -> None:
        boat = 0.5 + 0.38 * sin(turn)
        for layer, colour in enumerate(("#3f8fb5", "#2c6f9f", "#1d4f80")):
            level = 0.68 + 0.10 * layer
            points = [
                (x, level + 0.016 * sin(14 * x + (2 - 4 * (layer % 2)) * turn + layer))
                for x in (step / 40 for step in range(41))
            ]
            self._fill_below(draw, points, colour)
            if layer == 0:
                self._boat(
                    draw, boat, level + 0.014 * sin(14 * boat + 2 * turn), sin(14 * boat + 2 * turn) * 0.12
                )

    def _fill_below(self, draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str) -> None:
        line = [(x * self.side, y * self.side) for x, y in points]
        draw.polygon([(0, self.side), *line, (self.side, self.side)], fill=colour)

    def _boat(self, draw: ImageDraw.ImageDraw, x: float, y: float, tilt: float) -> None:
        def place(dx: float, dy: float) -> tuple[float, float]:
            across, up = dx * cos(tilt) - dy * sin(tilt), dx * sin(tilt) + dy * cos(tilt)
            return (x + across) * self.side, (y + up) * self.side

        hull = [place(-0.09, -0.02), place(0.09, -0.02), place(0.06, 0.035), place(-0.06, 0.035)]
        draw.polygon(hull, fill="#7a3b2e")
        draw.polygon([place(0.005, -0.19), place(0.005, -0.03), place(0.085, -0.03)], fill="#fbf3e4")
        draw.polygon([place(-0.01, -0.16), place(-0.01, -0.03), place(-0.07, -0.03)], fill="#e2574c")

    def _star(self, draw: ImageDraw.ImageDraw, turn: float) -> None:
        x, y = 0.2 + 0.06 * cos(2 * turn), 0.2 + 0.05 * sin(2 * turn)
        points = []
        for corner in range(10):
            reach = 0.105 if corner % 2 == 0 else 0.046
            angle = turn + corner * pi / 5
            points.append(((x + reach * cos(angle)) * self.side, (y + reach * sin(angle)) * self.side))
        draw.polygon(points, fill="#f2b632")

    def _ball(self, draw: ImageDraw.ImageDraw, seconds: float) -> None:
        phase = seconds % 1.6 / 1.6
        height = 4 * phase * (1 - phase)
        across = abs(2 * (seconds / _LOOP_SECONDS % 1) - 1)
        x, floor = 0.14 + 0.72 * across, 0.93
        flat = max(0.0, 0.12 - height) * 0.35
        wide, high = 0.085 * (1 + flat), 0.085 * (1 - flat)
        side, shadow = self.side, 0.085 * (0.55 + 0.45 * (1 - height))
        draw.ellipse(
            ((x - shadow) * side, (floor - 0.014) * side, (x + shadow) * side, (floor + 0.014) * side),
            fill="#123456",
        )
        y = floor - high - 0.55 * height
        box = ((x - wide) * side, (y - high) * side, (x + wide) * side, (y + high) * side)
        draw.ellipse(box, fill="#d8343a")
        for stripe in range(3):
            start = seconds * 110 % 360 + stripe * 120
            draw.pieslice(box, start, start + 60, fill="#fdf6ec")
        self._disc(draw, x, y, 0.022, "#8a1f2a")

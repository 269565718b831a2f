"""What a prompt asks for, in terms the painter understands: a style, a scene and a table of colours.

There is no language model here. Known words choose (colour names, moods, styles, subjects), and all other
words are hashed, so that every prompt looks like itself, every time, on every machine.

Colours come as two *ramps*, for what is cool and what is warm in a picture. On a ramp each colour stands at its own
lightness, so a picture keeps its light and shade whatever its palette: the input stays recognisable.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from falrt.local.scene import LANDSCAPES

__all__ = ["Look", "read_prompt"]

Colour: TypeAlias = tuple[int, int, int]

_COLOURS: dict[str, Colour] = {
    "red": (206, 44, 40), "crimson": (176, 22, 52), "scarlet": (226, 52, 30), "ruby": (190, 16, 66),
    "orange": (238, 126, 28), "amber": (246, 172, 34), "copper": (190, 104, 58), "bronze": (168, 112, 54),
    "gold": (232, 178, 52), "golden": (232, 178, 52), "yellow": (248, 214, 58), "honey": (230, 160, 44),
    "green": (56, 146, 70), "emerald": (16, 140, 96), "jade": (62, 152, 118), "olive": (126, 128, 52),
    "lime": (164, 212, 50), "mint": (150, 214, 180), "teal": (20, 128, 134), "turquoise": (46, 186, 186),
    "cyan": (44, 198, 222), "aqua": (72, 206, 210), "blue": (38, 88, 196), "sapphire": (20, 56, 168),
    "navy": (18, 34, 92), "azure": (54, 138, 230), "cobalt": (20, 70, 180), "indigo": (62, 40, 150),
    "violet": (124, 62, 190), "purple": (120, 48, 160), "lavender": (180, 158, 222),
    "magenta": (210, 40, 150),
    "pink": (242, 132, 174), "rose": (224, 84, 122), "coral": (246, 120, 92), "peach": (250, 180, 140),
    "brown": (118, 76, 46), "chocolate": (86, 50, 32), "cream": (246, 232, 200), "ivory": (248, 242, 222),
    "white": (246, 246, 244), "silver": (186, 192, 200), "grey": (128, 130, 134), "gray": (128, 130, 134),
    "black": (24, 24, 28), "charcoal": (50, 52, 58),
}  # fmt: skip

_MOODS: dict[str, tuple[str, ...]] = {
    "sunset": ("indigo", "magenta", "orange", "amber"),
    "sunrise": ("lavender", "rose", "peach", "yellow"),
    "dawn": ("indigo", "lavender", "peach"),
    "dusk": ("navy", "violet", "coral"),
    "night": ("navy", "indigo", "azure", "silver"),
    "midnight": ("black", "navy", "cobalt", "silver"),
    "moonlight": ("navy", "cobalt", "silver"),
    "forest": ("emerald", "olive", "green", "honey"),
    "jungle": ("emerald", "lime", "olive", "amber"),
    "autumn": ("crimson", "copper", "orange", "gold", "olive"),
    "spring": ("mint", "pink", "lime", "azure"),
    "summer": ("azure", "turquoise", "yellow", "coral"),
    "winter": ("navy", "azure", "silver", "white"),
    "ice": ("teal", "cyan", "azure", "white"),
    "snow": ("cobalt", "azure", "white"),
    "fire": ("crimson", "scarlet", "orange", "yellow"),
    "lava": ("black", "crimson", "orange", "yellow"),
    "ocean": ("navy", "teal", "turquoise", "cream"),
    "sea": ("navy", "teal", "turquoise", "cream"),
    "underwater": ("navy", "teal", "aqua", "lime"),
    "desert": ("copper", "amber", "peach", "azure"),
    "galaxy": ("black", "indigo", "magenta", "cyan"),
    "space": ("black", "indigo", "violet", "amber"),
    "neon": ("indigo", "magenta", "cyan", "lime"),
    "cyberpunk": ("indigo", "magenta", "cyan", "amber"),
    "vintage": ("brown", "olive", "honey", "cream"),
    "sepia": ("chocolate", "brown", "honey", "cream"),
    "pastel": ("lavender", "pink", "mint", "peach"),
    "candy": ("magenta", "pink", "aqua", "yellow"),
    "noir": ("black", "charcoal", "silver", "white"),
    "monochrome": ("black", "grey", "white"),
}

_DARK = frozenset(
    {"night", "midnight", "moonlight", "noir", "dark", "galaxy", "space", "lava", "cyberpunk", "dusk"}
)
_BRIGHT = frozenset({"bright", "light", "pastel", "snow", "winter", "summer", "spring", "day", "sunny"})

_STYLES: dict[str, str] = {
    "oil": "oil", "painting": "oil", "impressionist": "oil", "gogh": "oil", "monet": "oil", "impasto": "oil",
    "watercolor": "watercolour", "watercolour": "watercolour", "aquarelle": "watercolour",
    "wash": "watercolour",
    "sketch": "sketch", "pencil": "sketch", "drawing": "sketch", "ink": "sketch", "charcoal": "sketch",
    "engraving": "sketch",
    "neon": "neon", "cyberpunk": "neon", "glowing": "neon", "hologram": "neon", "tron": "neon",
    "mosaic": "mosaic", "stained": "mosaic", "glass": "mosaic", "tile": "mosaic", "polygon": "mosaic",
    "comic": "comic", "cartoon": "comic", "anime": "comic", "pop": "comic",
    "poster": "comic", "manga": "comic",
    "pixel": "pixel", "8bit": "pixel", "retro": "pixel", "lego": "pixel",
    "photo": "photo", "photograph": "photo", "realistic": "photo",
    "photorealistic": "photo", "cinematic": "photo",
}  # fmt: skip

_SCENES: dict[str, str] = {
    "mountain": "mountains", "hill": "mountains", "alps": "mountains",
    "valley": "mountains", "lake": "mountains",
    "sea": "sea", "ocean": "sea", "beach": "sea", "wave": "sea",
    "boat": "sea", "ship": "sea", "sailboat": "sea", "island": "sea",
    "forest": "forest", "jungle": "forest", "wood": "forest",
    "tree": "tree", "oak": "tree",
    "city": "city", "street": "city", "skyline": "city", "tower": "city",
    "tokyo": "city", "cyberpunk": "city", "building": "city",
    "house": "house", "cottage": "house", "cabin": "house", "hut": "house", "home": "house",
    "car": "car", "taxi": "car",
    "desert": "desert", "dune": "desert",
    "galaxy": "space", "space": "space", "planet": "space", "star": "space",
    "nebula": "space", "cosmic": "space", "astronaut": "space",
    "flower": "flowers", "garden": "flowers", "rose": "flowers", "tulip": "flowers", "meadow": "flowers",
    "sunflower": "flowers", "bouquet": "flowers",
    "portrait": "portrait", "face": "portrait", "person": "portrait", "woman": "portrait", "man": "portrait",
    "girl": "portrait", "boy": "portrait",
    "cat": "cat", "kitten": "cat", "tiger": "tiger", "lion": "lion", "fox": "fox",
    "dog": "dog", "puppy": "dog", "hound": "dog", "wolf": "wolf", "wolves": "wolf", "husky": "wolf",
    "rabbit": "rabbit", "bunny": "rabbit", "hare": "rabbit", "bear": "bear", "mouse": "mouse", "mice": "mouse",
}  # fmt: skip

_SNOW = frozenset({"snow", "snowy", "winter", "ice", "icy", "arctic", "frost"})


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How a picture is to be painted.

    Attributes:
        style: One of the painter's styles, such as ``"oil"``.
        scene: What to draw where no input picture is given.
        snow: Whether snow lies in it.
        cool: The ramp for what is cool: 256 levels of red, then of green, then of blue, as Pillow's ``point`` takes.
        warm: The ramp for what is warm.
        weight: How far colours go from the source's own (0) to the ramps' (1).
        signature: A hash of all the words; 32 bits.
    """

    style: str
    scene: str
    snow: bool
    cool: list[int]
    warm: list[int]
    weight: float
    signature: int


def read_prompt(prompt: str, negative_prompt: str = "") -> Look:
    """Choose style, scene and colours from the words of a prompt.

    Args:
        prompt: Any text; may be empty.
        negative_prompt: Words that lose their meaning where the prompt has them too.
    """
    unwanted = set(_words(negative_prompt))
    words = [word for word in _words(prompt) if word not in unwanted]
    signature = zlib.crc32(" ".join(words).encode())
    named = _colours(words)
    colours = sorted(named or _hashed_colours(signature), key=lambda colour: colour[0] - colour[2])
    middle = (len(colours) + 1) // 2
    lift = 1.55 if _DARK.intersection(words) else 0.8 if _BRIGHT.intersection(words) else 1.0
    somewhere = list(LANDSCAPES)[signature % len(LANDSCAPES)]
    return Look(
        style=next((_STYLES[word] for word in words if word in _STYLES), "oil"),
        scene=next((_SCENES[word] for word in words if word in _SCENES), somewhere),
        snow=not _SNOW.isdisjoint(words),
        cool=_ramp([(10, 12, 34), *colours[:middle], (236, 244, 250)], lift),
        warm=_ramp([(30, 14, 12), *(colours[middle:] or colours), (255, 246, 220)], lift),
        weight=0.88 if named else 0.45,
        signature=signature,
    )


def _words(text: str) -> list[str]:
    """Return lower-case words, a plural also counting as its singular."""
    words: list[str] = []
    for word in re.findall(r"[^\W_]+", text.lower()):
        known = word in _COLOURS or word in _MOODS or word in _STYLES or word in _SCENES
        if not known and len(word) > 3 and word.endswith("s"):
            word = word[:-1]
        words.append(word)
    return words


def _colours(words: list[str]) -> list[Colour]:
    """Return the colours that the words name, in order, at most six; named colours before moods."""
    names = [word for word in words if word in _COLOURS]
    for word in words:
        names.extend(_MOODS.get(word, ()))
    return [_COLOURS[name] for name in dict.fromkeys(names)][:6]


def _hashed_colours(signature: int) -> list[Colour]:
    """Return three colours that go together: a hue, its neighbour and its complement."""
    names = [name for name, colour in _COLOURS.items() if max(colour) - min(colour) > 60]
    first = signature % len(names)
    return [_COLOURS[names[(first + step) % len(names)]] for step in (0, 3, len(names) // 2)]


def _ramp(colours: list[Colour], lift: float) -> list[int]:
    """Return a ramp on which each colour stands where its own lightness is, so light stays light.

    Args:
        colours: The shadow's first, the light's last.
        lift: Exponent of the lightness; above 1 darkens the picture.
    """
    anchors = np.array(sorted(colours, key=_lightness), dtype=float)
    places = np.array([_lightness(colour) for colour in anchors]) / 255
    places = np.maximum.accumulate(places + 0.02 * np.arange(len(places)))
    steps = np.linspace(0, 1, 256) ** lift * places[-1]
    return [int(level) for channel in anchors.T for level in np.interp(steps, places, channel)]


def _lightness(colour: Sequence[float]) -> float:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue

"""Draw the life cycle from the table that the code consults; the page's own diagram is for readers of the source."""

from __future__ import annotations

from collections import defaultdict
from html import escape

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from falrt.protocol.events import TRANSITIONS

_ROW = ("IDLE", "WAITING", "CONNECTING", "OPEN")
_WIDE, _HIGH = 130, 40
_TOP, _BOTTOM = 130, 350
_X = {name: 90 + 220 * place for place, name in enumerate(_ROW)}


def drawing() -> str:
    """Return the diagram as SVG: states in a row, the end below, ways back in arcs."""
    words: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (source, event), target in TRANSITIONS.items():
        words[source.name, target.name].append(str(event))
    parts = []
    for (source, target), events in words.items():
        parts += _arrow(source, target, ", ".join(events))
    for name in _ROW:
        parts += _box(_X[name] - _WIDE / 2, _TOP, _WIDE, name)
    parts += _box(_X["IDLE"] - _WIDE / 2, _BOTTOM, _X["OPEN"] - _X["IDLE"] + _WIDE, "CLOSED")
    marker = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>'
    )
    return (
        f'<svg class="life-cycle" viewBox="0 0 {_X["OPEN"] + 90} {_BOTTOM + _HIGH + 10}" role="img" '
        f'aria-label="Life cycle of a connection">{marker}{"".join(parts)}</svg>'
    )


def _box(x: float, y: float, width: float, name: str) -> list[str]:
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{_HIGH}" rx="8"/>',
        f'<text class="state" x="{x + width / 2}" y="{y + _HIGH / 2 + 5}">{name}</text>',
    ]


def _arrow(source: str, target: str, words: str) -> list[str]:
    start = _X[source]
    if target == "CLOSED":
        y = _BOTTOM - 16
        return [
            f'<path d="M{start} {_TOP + _HIGH}V{_BOTTOM - 2}"/>',
            f'<text x="{start}" y="{y}">{escape(words)}</text>',
        ]
    end = _X[target]
    if _ROW.index(target) == _ROW.index(source) + 1:
        y = _TOP + _HIGH / 2
        path = f"M{start + _WIDE / 2} {y}H{end - _WIDE / 2 - 2}"
        return [f'<path d="{path}"/>', f'<text x="{(start + end) / 2}" y="{y - 8}">{escape(words)}</text>']
    # Ways that lead to the same state bend to the same side, the longer ones farther out.
    above = target == "WAITING"
    bend = (22 + 38 * abs(_ROW.index(source) - _ROW.index(target))) * (-1 if above else 1)
    y = _TOP if above else _TOP + _HIGH
    start, end = start - 20, end + 20
    path = f"M{start} {y}C{start} {y + bend} {end} {y + bend} {end} {y + (-2 if above else 2)}"
    # A cubic's middle lies at three quarters of its bend.
    middle = y + 0.75 * bend + (-6 if above else 15)
    # Nearer to where it comes from: near the end, the ways meet.
    return [f'<path d="{path}"/>', f'<text x="{0.6 * start + 0.4 * end}" y="{middle}">{escape(words)}</text>']


class LifeCycle(Directive):
    """Stands for the page's mermaid block, which tests compare with the table."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the drawing."""
        return [nodes.raw("", drawing(), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Take the place of mermaid, which would need a script from elsewhere."""
    app.add_directive("mermaid", LifeCycle)
    return {"parallel_read_safe": True}

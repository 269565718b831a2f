"""Let docstrings be read as they are written: code in fences, which reStructuredText does not know."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def unfence(app: Sphinx, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Turn fences into code blocks, and leave out what pydantic's own classes say of themselves."""
    if str(getattr(thing, "__module__", "")).startswith("pydantic"):
        lines.clear()
        return
    inside, out = False, []
    for line in lines:
        if line.strip().startswith("```"):
            inside = not inside
            out += ["", ".. code-block:: python", ""] if inside else [""]
        else:
            out.append(f"    {line}" if inside and line.strip() else line)
    lines[:] = out


def setup(app: Sphinx) -> dict[str, bool]:
    """Read docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", unfence, priority=100)
    return {"parallel_read_safe": True}

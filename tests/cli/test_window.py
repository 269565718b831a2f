from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from falrt import exceptions
from falrt.cli.record import Shot
from falrt.cli.window import Window


class Tk(SimpleNamespace):
    """Stands for Tk where there is no display; notes what was called."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(calls=[], handlers={}, **fields)

    def protocol(self, name: str, handler: Any) -> None:
        self.handlers[name] = handler

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: self.calls.append(name)


@pytest.fixture
def tk(monkeypatch: pytest.MonkeyPatch) -> Tk:
    root, label = Tk(), Tk()
    root.label = label
    module = SimpleNamespace(Tk=lambda: root, Label=lambda *a, **k: label, TclError=RuntimeError)
    monkeypatch.setitem(sys.modules, "tkinter", module)
    monkeypatch.setitem(sys.modules, "PIL.ImageTk", SimpleNamespace(PhotoImage=lambda image, master: image))
    monkeypatch.setattr("PIL.ImageTk", sys.modules["PIL.ImageTk"], raising=False)
    return root


def test_window_shows_pictures_until_it_is_closed(tk: Tk, shots: list[Shot]) -> None:
    window = Window("falrt")
    window.show(shots[0])
    assert tk.label.image.size == (64, 64)
    assert not window.is_closed

    tk.handlers["WM_DELETE_WINDOW"]()
    assert window.is_closed
    window.close()
    assert tk.calls[-2:] == ["update", "destroy"]


def test_without_a_display_the_error_says_so(tk: Tk, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_display() -> Any:
        raise RuntimeError("no display name")

    monkeypatch.setattr(sys.modules["tkinter"], "Tk", no_display)
    with pytest.raises(exceptions.ConfigurationError, match="no display"):
        Window("falrt")


def test_without_tkinter_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)

    with pytest.raises(exceptions.ConfigurationError, match="no tkinter"):
        Window("falrt")

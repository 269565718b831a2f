"""The newest picture in a window, where there is a display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from falrt.cli.pairs import decode
from falrt.exceptions import ConfigurationError

if TYPE_CHECKING:
    from falrt.cli.record import Shot

__all__ = ["Window"]


class Window:
    """Shows pictures as they come. Tk wants to be called from one thread, so its methods are called from the loop's.

    Raises:
        ConfigurationError: There is no display, or Python was built without Tk.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError as exc:
            raise ConfigurationError("--window: this Python has no tkinter; use --preview instead") from exc
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as exc:
            raise ConfigurationError(f"--window: there is no display ({exc}); use --preview instead") from exc
        self._root.title(title)
        self._label: Any = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        # True once the user has closed the window; the stream then ends.
        self.is_closed = False
        self._root.protocol("WM_DELETE_WINDOW", self._closing)

    def show(self, shot: Shot) -> None:
        """Show one answer."""
        from PIL import ImageTk

        photo = ImageTk.PhotoImage(decode(shot.pictures[-1]), master=self._root)
        self._label.configure(image=photo)
        # Tk keeps no reference of its own: without this one the picture would vanish.
        self._label.image = photo
        self.refresh()

    def refresh(self) -> None:
        """Let the window react: to being moved, covered or closed."""
        self._root.update()

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()

    def _closing(self) -> None:
        self.is_closed = True

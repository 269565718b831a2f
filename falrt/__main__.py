"""The ``falrt`` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the extra ``local``, say what to install and exit with 2."""
    # httpx's own command and httpcore's support for trio, which they do without where there is none: nothing that a
    # command of ours uses, and where trio, click and rich are installed a third of the time until its first request.
    for unused in ("httpx._main", "trio"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # None stands for "there is none"
    try:
        from falrt.cli.main import app
    except ModuleNotFoundError as exc:
        if exc.name not in ("typer", "rich", "click"):
            raise
        print(f"falrt: the command line needs {exc.name}: pip install 'falrt[local]'", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    app()


if __name__ == "__main__":
    main()

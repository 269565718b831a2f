"""The ``falrt`` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the extra ``local``, say what to install and exit with 2."""
    try:
        from falrt.cli.main import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        print(f"falrt: the command line needs {error.name}: pip install 'falrt[local]'", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    app()


if __name__ == "__main__":
    main()

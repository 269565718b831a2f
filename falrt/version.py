"""The version, in one place: the build, the commands and the user agent read it here."""

__all__ = ["__version__"]

__version__ = "0.2.0"

"""Pacing policies: ``falrt.connect(..., pacing=falrt.pacing.Latest())``. See :mod:`falrt.protocol.pacing`."""

from falrt.protocol.pacing import Adaptive, Debounce, Immediate, Latest, Pacer, Pacing, Throttle

__all__ = ["Adaptive", "Debounce", "Immediate", "Latest", "Pacer", "Pacing", "Throttle"]

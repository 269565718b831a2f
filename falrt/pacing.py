"""Pacing policies: ``falrt.connect(..., pacing=falrt.pacing.Latest())``. See :mod:`falrt.protocol.pacing.policies`."""

from falrt.protocol.pacing.policies import Adaptive, Debounce, Immediate, Latest, Pacer, Pacing, Throttle

__all__ = ["Adaptive", "Debounce", "Immediate", "Latest", "Pacer", "Pacing", "Throttle"]

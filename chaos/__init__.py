"""Chaos over real sockets: thousands of seeded faults, and the promises checked against the truth."""

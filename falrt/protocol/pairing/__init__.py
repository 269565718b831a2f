"""Which answer belongs to which input, and what becomes of those that get none."""

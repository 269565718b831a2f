"""Which losses are passing, when the next socket is opened, and whether the present one lives."""

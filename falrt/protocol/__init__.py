"""The pure core: every decision about a realtime connection, with time as an argument and no I/O."""

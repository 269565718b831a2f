"""When a waiting input may leave, and whether a newer one takes its place."""

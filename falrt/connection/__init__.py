"""The shell of one connection: all that waits for its sockets."""

"""The command line, ``falrt COMMAND``.

One file a command; each imports what it needs when it runs, so that ``falrt --help`` is quick.
"""

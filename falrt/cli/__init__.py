"""The command line: ``falrt serve``, ``falrt demo`` and ``falrt stream``.

One file a command; each imports what it needs when it runs, so that ``falrt --help`` is quick.
"""

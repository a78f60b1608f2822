"""The command line of DC/OS, the package dcoscli, unmodified, under a Python that is newer than it: the names
that left `collections` in Python 3.10 are put back first.

Usage: dcos_cli.py [--pipe=TEXT] WORD...     TEXT comes to its standard input.
"""

import collections
import collections.abc
import os
import sys

for name in ("Callable", "Iterable", "Mapping", "MutableMapping", "Sequence"):
    setattr(collections, name, getattr(collections.abc, name))

from dcoscli.main import main

if sys.argv[1].startswith("--pipe="):
    text = sys.argv.pop(1)[len("--pipe="):]
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    os.dup2(read, 0)
sys.exit(main())

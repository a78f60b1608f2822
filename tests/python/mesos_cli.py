"""Apache Mesos' own command line, the package avmesos-cli, unmodified.

Usage: mesos_cli.py [--pipe=TEXT] [--code=NUMBER] WORD...     TEXT comes to its standard input; NUMBER is the
exit code that it must have.
"""

import os
import subprocess
import sys

words, pipe, code = sys.argv[1:], None, 0
while words and words[0].startswith("--"):
    name, _, value = words.pop(0)[2:].partition("=")
    if name == "pipe":
        pipe = value
    else:
        code = int(value)
command = [sys.executable, "-m", "avmesos.cli.mesos-cli"]
done = subprocess.run(command + words, input=pipe, text=True, timeout=60)
sys.exit(done.returncode if code == 0 else done.returncode != code)

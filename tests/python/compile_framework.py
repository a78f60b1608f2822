"""A framework written from nothing but proto/: compiles a C library on a mesosd cluster.

Usage: compile_framework.py MASTER SOURCE_TARBALL COLLECT_DIR TEST_SOURCE SOURCE...

One task per source file; each object is read from its sandbox through the agent's API; a last task
links them with TEST_SOURCE and runs the result. Exit code 0 when that program passed; its output is
printed.
"""

import pathlib
import sys

from framework import Framework, v1

MASTER, TARBALL, COLLECT, TEST_SOURCE, *SOURCES = sys.argv[1:]
FLAGS = "-O2 -fPIC -D_LARGEFILE64_SOURCE=1 -DHAVE_UNISTD_H -I zlib"


def main():
    framework = Framework(MASTER, "python-compile")
    uri = f"file://{pathlib.Path(TARBALL)}"
    left = {}
    for source in SOURCES:
        command = f"cc {FLAGS} -c zlib/{source}.c -o {source}.o"
        left[framework.submit(f"compile-{source}", command, [uri])] = source
    agents = set()
    objects = []
    while left:
        status = framework.next_end()
        task_id = status.task_id.value
        if status.state != v1.TASK_FINISHED:
            errors = framework.sandbox_file(task_id, "stderr").decode(errors="replace")
            sys.exit(f"{task_id}: {v1.TaskState.Name(status.state)} {status.message}\n{errors}")
        agents.add(status.agent_id.value)
        path = pathlib.Path(COLLECT) / f"{left.pop(task_id)}.o"
        path.write_bytes(framework.sandbox_file(task_id, path.name))
        objects.append(path)
    command = f"cc -I zlib zlib/{TEST_SOURCE} *.o -o example && ./example"
    test = framework.submit("test", command, [uri, *(f"file://{path}" for path in sorted(objects))])
    status = framework.next_end()
    assert status.task_id.value == test, (status, test)
    print(framework.sandbox_file(test, "stdout").decode())
    print(f"{len(objects)} objects from {len(agents)} agents; test {v1.TaskState.Name(status.state)}")
    framework.teardown()
    sys.exit(0 if status.state == v1.TASK_FINISHED else f"test: {status.message}")


main()

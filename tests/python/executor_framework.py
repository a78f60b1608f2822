"""Runs two tasks under one custom executor and talks to it.

Usage: executor_framework.py MASTER PYTHON
"""

import os
import pathlib
import sys

from framework import CPUS, MEM, Framework, v1

MASTER, PYTHON = sys.argv[1:]
HERE = pathlib.Path(__file__).resolve().parent


def expect(framework, states):
    """Waits until each task has the state named."""
    left = dict(states)
    while left:
        status = framework.next_update()
        wanted = left.get(status.task_id.value)
        print(status.task_id.value, v1.TaskState.Name(status.state), status.message)
        if wanted == status.state:
            del left[status.task_id.value]
        elif status.state not in (v1.TASK_STARTING, v1.TASK_RUNNING):
            sys.exit(f"{status.task_id.value}: {v1.TaskState.Name(status.state)} {status.message}")


def main():
    framework = Framework(MASTER, "python-executor", seconds=60)
    executor = v1.ExecutorInfo(type=v1.ExecutorInfo.CUSTOM)
    executor.executor_id.value = "talker"
    executor.command.value = f"exec {PYTHON} {HERE / 'executor.py'}"
    executor.command.environment.variables.add(name="MESOSD_PROTO", value=os.path.abspath(os.environ["MESOSD_PROTO"]))
    for name, amount in (("cpus", CPUS), ("mem", MEM)):
        executor.resources.add(name=name, type=v1.Value.SCALAR).scalar.value = amount
    first = framework.submit("first", executor=executor)
    expect(framework, {first: v1.TASK_RUNNING})
    framework.message(first, "talker", b"hello")
    assert framework.messages.get(timeout=30) == b"hello"
    framework.message(first, "talker", f"finish {first}".encode())
    expect(framework, {first: v1.TASK_FINISHED})
    second = framework.submit("second", executor=executor)
    expect(framework, {second: v1.TASK_RUNNING})
    framework.kill(second)
    expect(framework, {second: v1.TASK_KILLED})
    print(framework.sandbox_file(first, "stdout", "talker").decode())
    framework.teardown()


main()

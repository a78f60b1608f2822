"""A custom executor that speaks the v0 driver protocol: runs nothing, but says it does.

RUN answers RUNNING; a message `finish ID` ends a task, any other message is sent back; KILL answers KILLED;
SHUTDOWN ends the process. When its agent goes away, the task "alone" finishes, if it has it; ReconnectExecutor is
answered by what was not acknowledged.
"""

import os
import sys
import time
import uuid

from libprocess import Process, agent_pid, internal

from mesos.v1 import mesos_pb2 as v1

ME = Process("executor(1)", os.environ["LIBPROCESS_IP"])
AGENT = agent_pid()
UNACKNOWLEDGED = {}
TASKS = {}
LAUNCHED = set()
FRAMEWORK, EXECUTOR = os.environ["MESOS_FRAMEWORK_ID"], os.environ["MESOS_EXECUTOR_ID"]


class Closed:
    """The agent's connection has ended."""

    @staticmethod
    def FromString(_):  # noqa: N802  as messages have it
        return Closed()


Closed.__name__ = "(closed)"


def update(task_id, state):
    """Reports a task's state, as old drivers do: with as little as the messages allow."""
    message = internal.StatusUpdateMessage(pid=ME.pid)
    message.update.framework_id.value = FRAMEWORK
    message.update.executor_id.value = EXECUTOR
    message.update.slave_id.value = os.environ["MESOS_SLAVE_ID"]
    message.update.status.task_id.value = task_id
    message.update.status.state = state
    message.update.timestamp = time.time()
    message.update.uuid = uuid.uuid4().bytes
    UNACKNOWLEDGED[message.update.uuid] = message.update
    try:
        ME.send(AGENT, message, chunked=state == v1.TASK_RUNNING)
    except OSError as error:
        print("not told", task_id, error, flush=True)


def reregister():
    """The agent has been restarted and asks for what it may have missed."""
    ME.links.clear()
    message = internal.ReregisterExecutorMessage()
    message.framework_id.value, message.executor_id.value = FRAMEWORK, EXECUTOR
    message.tasks.extend(TASKS.values())
    message.updates.extend(UNACKNOWLEDGED.values())
    ME.send(AGENT, message)
    print("registering again with", len(TASKS), "tasks,", len(UNACKNOWLEDGED), "updates", flush=True)


def main():
    register = internal.RegisterExecutorMessage()
    register.framework_id.value, register.executor_id.value = FRAMEWORK, EXECUTOR
    ME.send(AGENT, register)
    registered, sender = ME.expect(internal.ExecutorRegisteredMessage)
    assert sender == AGENT, sender
    assert registered.executor_info.executor_id.value == EXECUTOR, registered
    assert registered.framework_info.id.value == FRAMEWORK, registered
    assert registered.slave_id.value == os.environ["MESOS_SLAVE_ID"], registered
    print("registered", flush=True)
    while True:
        message, _ = ME.expect(
            internal.RunTaskMessage,
            internal.KillTaskMessage,
            internal.FrameworkToExecutorMessage,
            internal.StatusUpdateAcknowledgementMessage,
            internal.ShutdownExecutorMessage,
            internal.ReconnectExecutorMessage,
            internal.ExecutorReregisteredMessage,
            Closed,
        )
        if isinstance(message, internal.RunTaskMessage):
            assert message.framework.id.value == FRAMEWORK, message
            TASKS[message.task.task_id.value] = message.task
            LAUNCHED.add(message.task.task_id.value)
            update(message.task.task_id.value, v1.TASK_RUNNING)
        elif isinstance(message, internal.KillTaskMessage):
            update(message.task_id.value, v1.TASK_KILLED)
        elif isinstance(message, internal.FrameworkToExecutorMessage):
            words = message.data.decode().split()
            if words[0] == "finish":
                update(words[1], v1.TASK_FINISHED)
            else:
                answer = internal.ExecutorToFrameworkMessage(data=message.data)
                answer.slave_id.CopyFrom(message.slave_id)
                answer.framework_id.CopyFrom(message.framework_id)
                answer.executor_id.CopyFrom(message.executor_id)
                ME.send(AGENT, answer)
        elif isinstance(message, internal.StatusUpdateAcknowledgementMessage):
            assert UNACKNOWLEDGED.pop(message.uuid).status.task_id == message.task_id, message
            TASKS.pop(message.task_id.value, None)
        elif isinstance(message, Closed):
            if os.environ["MESOS_CHECKPOINT"] != "1":
                sys.exit(1)
            if "alone" in LAUNCHED:
                LAUNCHED.remove("alone")
                update("alone", v1.TASK_FINISHED)
        elif isinstance(message, internal.ReconnectExecutorMessage):
            assert message.slave_id.value == os.environ["MESOS_SLAVE_ID"], message
            reregister()
        elif isinstance(message, internal.ExecutorReregisteredMessage):
            print("registered again", flush=True)
        else:
            print("shutdown", UNACKNOWLEDGED, flush=True)
            assert not UNACKNOWLEDGED
            sys.exit(0)


main()

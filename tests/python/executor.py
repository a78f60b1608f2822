"""A custom executor over gRPC: runs nothing, but says it does.

LAUNCH answers RUNNING; a message `finish ID` ends a task, any other message is sent back; KILL answers
KILLED; SHUTDOWN ends the process.
"""

import os
import sys
import threading
import uuid

import grpc
import stubs  # noqa: F401

from mesos.v1 import mesos_pb2 as v1
from mesos.v1.executor import executor_pb2, executor_service_pb2_grpc

CHANNEL = grpc.insecure_channel(os.environ["MESOS_AGENT_ENDPOINT"])
STUB = executor_service_pb2_grpc.ExecutorServiceStub(CHANNEL)


def call(kind):
    """A call with this executor's ids."""
    made = executor_pb2.Call(type=kind)
    made.framework_id.value = os.environ["MESOS_FRAMEWORK_ID"]
    made.executor_id.value = os.environ["MESOS_EXECUTOR_ID"]
    return made


def update(task_id, state):
    """Reports a task's state."""
    made = call(executor_pb2.Call.UPDATE)
    status = made.update.status
    status.task_id.value = task_id
    status.executor_id.value = os.environ["MESOS_EXECUTOR_ID"]
    status.state, status.source = state, v1.TaskStatus.SOURCE_EXECUTOR
    status.uuid = uuid.uuid4().bytes
    STUB.Call(made, timeout=10)


def main():
    print("sandbox", os.environ["MESOS_SANDBOX"], "directory", os.getcwd(), flush=True)
    subscribe = call(executor_pb2.Call.SUBSCRIBE)
    subscribe.subscribe.SetInParent()
    for event in STUB.Subscribe(subscribe):
        if event.type == executor_pb2.Event.LAUNCH:
            task_id = event.launch.task.task_id.value
            print("launch", task_id, flush=True)
            # On another thread: the stream must go on while the call waits.
            threading.Thread(target=update, args=(task_id, v1.TASK_RUNNING)).start()
        elif event.type == executor_pb2.Event.KILL:
            update(event.kill.task_id.value, v1.TASK_KILLED)
        elif event.type == executor_pb2.Event.MESSAGE:
            text = event.message.data.decode()
            if text.startswith("finish "):
                update(text.split()[1], v1.TASK_FINISHED)
            else:
                made = call(executor_pb2.Call.MESSAGE)
                made.message.data = event.message.data
                STUB.Call(made, timeout=10)
        elif event.type == executor_pb2.Event.SHUTDOWN:
            print("shutdown", flush=True)
            sys.exit(0)


main()

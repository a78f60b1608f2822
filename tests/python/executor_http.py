"""A custom executor over HTTP that keeps to the rules for a restart of its agent: with MESOS_CHECKPOINT=1 it
subscribes again, each time after a random wait below MESOS_SUBSCRIPTION_BACKOFF_MAX, for as long as
MESOS_RECOVERY_TIMEOUT says, and brings what was not acknowledged to it; without it ends.

Standard library only. LAUNCH answers RUNNING; KILL answers KILLED; SHUTDOWN ends the process; a lost connection
finishes the task "alone", if it has it, before the agent is back.
"""

import base64
import http.client
import json
import os
import random
import re
import sys
import time
import uuid

IDS = {
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
}
UNITS = {"ms": 0.001, "secs": 1.0, "mins": 60.0, "hrs": 3600.0}
TASKS, UPDATES = {}, {}


def seconds(text):
    """Mesos' notation of durations."""
    number, unit = re.fullmatch(r"([0-9.]+)([a-z]+)", text).groups()
    return float(number) * UNITS[unit]


def post(call):
    """One call on a connection of its own."""
    connection = http.client.HTTPConnection(os.environ["MESOS_AGENT_ENDPOINT"], timeout=60)
    body = json.dumps(IDS | call)
    connection.request("POST", "/api/v1/executor", body, {"Content-Type": "application/json"})
    return connection.getresponse()


def update(task_id, state):
    """Reports a task's state; what does not arrive is reported at the next subscription."""
    status = {
        "task_id": {"value": task_id},
        "executor_id": IDS["executor_id"],
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "timestamp": time.time(),
        "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
    }
    UPDATES[status["uuid"]] = status
    try:
        answer = post({"type": "UPDATE", "update": {"status": status}})
        print("update", task_id, state, answer.status, flush=True)
    except OSError as error:
        print("update", task_id, state, error, flush=True)


def events():
    """Subscribes, and gives each event."""
    answer = post({
        "type": "SUBSCRIBE",
        "subscribe": {
            "unacknowledged_tasks": list(TASKS.values()),
            "unacknowledged_updates": [{"status": status} for status in UPDATES.values()],
        },
    })
    print("subscribe", answer.status, flush=True)
    if answer.status != 200:
        answer.close()
        return
    while length := answer.readline():
        yield json.loads(answer.read(int(length)))


def handle(event):
    """What an event asks for."""
    kind = event["type"]
    if kind == "LAUNCH":
        task = event["launch"]["task"]
        TASKS[task["task_id"]["value"]] = task
        update(task["task_id"]["value"], "TASK_RUNNING")
    elif kind == "KILL":
        update(event["kill"]["task_id"]["value"], "TASK_KILLED")
    elif kind == "ACKNOWLEDGED":
        part = event["acknowledged"]
        UPDATES.pop(part["uuid"], None)
        TASKS.pop(part["task_id"]["value"], None)
    elif kind == "SHUTDOWN":
        print("shutdown", flush=True)
        sys.exit(0)


def main():
    checkpoint = os.environ["MESOS_CHECKPOINT"] == "1"
    launched, since = set(), time.monotonic()
    while True:
        try:
            for event in events():
                handle(event)
                if event["type"] == "LAUNCH":
                    launched.add(event["launch"]["task"]["task_id"]["value"])
                since = time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            print("lost", error, flush=True)
        if not checkpoint:
            sys.exit(1)
        if "alone" in launched:
            launched.remove("alone")
            update("alone", "TASK_FINISHED")
        if time.monotonic() - since > seconds(os.environ["MESOS_RECOVERY_TIMEOUT"]):
            sys.exit(1)
        time.sleep(random.uniform(0, seconds(os.environ["MESOS_SUBSCRIPTION_BACKOFF_MAX"])) / 4)


main()

"""A scheduler built on the package mesoshttp, or its successor avmesos, unmodified: a task that ends, one that is
reconciled and killed, a role of its own, the end of the framework.

Usage: mesoshttp_framework.py MASTER PACKAGE
"""

import importlib
import os
import sys
import threading

package = sys.argv[2]
MesosClient = importlib.import_module(package + ".client").MesosClient
states, launched, problems = {}, [], []
driver = None
done = threading.Event()


def task(name, command, offer):
    """A task as the package's own example writes it: `slave_id` instead of `agent_id`."""
    return {
        "task_id": {"value": name},
        "name": name,
        "slave_id": offer["agent_id"],
        "agent_id": offer["agent_id"],
        "command": {"value": command, "shell": True},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    }


def on_subscribed(new):
    global driver
    driver = new
    print("subscribed", driver.frameworkId, driver.streamId, flush=True)


def on_offers(offers):
    for offer in offers:
        content = offer.get_offer()
        if launched:
            offer.decline()
            continue
        launched.append(content["agent_id"]["value"])
        offer.accept([task("short", "exit 0", content), task("long", "exec sleep 1000", content)])


def on_update(update):
    status = update["status"]
    name, state, reason = status["task_id"]["value"], status["state"], status.get("reason")
    print(name, state, reason, flush=True)
    if reason == "REASON_RECONCILIATION":
        if state != "TASK_RUNNING":
            problems.append(status)
        driver.kill(launched[0], "long")
        return
    states.setdefault(name, []).append(state)
    if (name, state) == ("long", "TASK_RUNNING"):
        tasks = [{"task_id": {"value": "long"}, "agent_id": {"value": launched[0]}}]
        driver.reconcile(tasks)
    if {"short": "TASK_FINISHED", "long": "TASK_KILLED"} == {n: s[-1] for n, s in states.items()}:
        done.set()


def on_error(message):
    problems.append(message)


client = MesosClient(mesos_urls=["http://" + sys.argv[1]], frameworkName=package, frameworkUser="root")
client.set_role("web")
client.set_checkpoint(True)
client.set_failover_timeout(60)
client.on(MesosClient.SUBSCRIBED, on_subscribed)
client.on(MesosClient.OFFERS, on_offers)
client.on(MesosClient.UPDATE, on_update)
client.on(MesosClient.ERROR, on_error)
threading.Thread(target=client.register, daemon=True).start()
assert done.wait(60), states
assert not problems, problems
assert states["short"] == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"], states
driver.tearDown()
print("ok", flush=True)
os._exit(0)

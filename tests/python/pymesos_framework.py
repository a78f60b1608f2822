"""A framework built on the package pymesos, unmodified: a command task, two tasks of an executor that
is built on it too, a message there and back, then what the operator drivers say.

Usage: pymesos_framework.py MASTER AGENT PYTHON
"""

import logging
import os
import sys
import threading

import pymesos

master, agent, python = sys.argv[1:]
logging.basicConfig(level=logging.DEBUG)
here = os.path.dirname(os.path.abspath(__file__))
EXECUTOR = {
    "executor_id": {"value": "snake"},
    "name": "snake",
    "command": {"value": "exec %s -u %s/pymesos_executor.py" % (python, here)},
    "resources": [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 64}},
    ],
}


def task(name, offer, **more):
    return dict(
        task_id={"value": name},
        name=name,
        agent_id=offer["agent_id"],
        resources=[
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
        **more
    )


class Scheduler(pymesos.Scheduler):
    def __init__(self):
        self.states = {}
        self.launched = False
        self.message = None
        self.done = threading.Event()
        self.failure = None

    def registered(self, driver, framework_id, master_info):
        print("registered", framework_id["value"], flush=True)

    def resourceOffers(self, driver, offers):
        if self.launched:
            driver.declineOffer([offer["id"] for offer in offers])
            return
        self.launched = True
        offer = offers[0]
        tasks = [
            task("shell", offer, command={"value": "echo hello; exit 0"}),
            task("first", offer, executor=EXECUTOR, data=pymesos.encode_data(b"finish")),
            task("second", offer, executor=EXECUTOR, data=pymesos.encode_data(b"wait")),
        ]
        driver.launchTasks(offer["id"], tasks)

    def statusUpdate(self, driver, update):
        name, state = update["task_id"]["value"], update["state"]
        self.states.setdefault(name, []).append(state)
        print(name, state, update.get("message", ""), flush=True)
        if (name, state) == ("second", "TASK_RUNNING"):
            driver.sendFrameworkMessage(
                EXECUTOR["executor_id"], update["agent_id"], pymesos.encode_data(b"ping")
            )
        if state in ("TASK_FAILED", "TASK_LOST", "TASK_ERROR"):
            self.failure = update
            self.done.set()
        if all(self.states.get(name, [""])[-1] in ("TASK_FINISHED", "TASK_KILLED")
               for name in ("shell", "first", "second")):
            self.done.set()

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        self.message = pymesos.decode_data(message)
        print("message", self.message, flush=True)
        driver.killTask({"value": "second"})

    def error(self, driver, message):
        self.failure = message
        self.done.set()


scheduler = Scheduler()
framework = {"user": "root", "name": "pymesos", "hostname": "localhost", "failover_timeout": 60}
driver = pymesos.MesosSchedulerDriver(scheduler, framework, master)
driver.start()
assert scheduler.done.wait(60), "not done: %s" % scheduler.states
assert scheduler.failure is None, scheduler.failure
assert scheduler.states["second"][-1] == "TASK_KILLED", scheduler.states
assert scheduler.message == b"pong ping", scheduler.message


def ask(which, call, *arguments):
    """What a call of an operator driver answers, without its envelope."""
    answer = getattr(which, call)(*arguments)
    name = "get_" + "".join("_" + c.lower() if c.isupper() else c for c in call[3:])[1:]
    assert answer["type"] == name.upper(), answer
    return answer[name]


on_master = pymesos.MesosOperatorMasterDriver(master)
assert ask(on_master, "getHealth")["healthy"] is True
assert ask(on_master, "getAgents")["agents"][0]["agent_info"]["hostname"]
frameworks = ask(on_master, "getFrameworks")["frameworks"]
assert [one["framework_info"]["name"] for one in frameworks] == ["pymesos"], frameworks
done = {one["name"]: one["state"] for one in ask(on_master, "getTasks")["completed_tasks"]}
assert done == {"shell": "TASK_FINISHED", "first": "TASK_FINISHED", "second": "TASK_KILLED"}, done
assert "get_tasks" in ask(on_master, "getState")
assert ask(on_master, "getMetrics", 10)["metrics"]
assert ask(on_master, "getVersion")["version_info"]["version"]
assert ask(on_master, "getMaster")["master_info"]["id"]
assert ask(on_master, "getLoggingLevel")["level"] == 0
for call in ("getRoles", "getQuota", "getWeights", "getFlags", "getExecutors"):
    ask(on_master, call)
ask(on_master, "getMaintenanceSchedule"), ask(on_master, "getMaintenanceStatus")

on_agent = pymesos.MesosOperatorAgentDriver(agent)
assert ask(on_agent, "getHealth")["healthy"] is True
assert ask(on_agent, "getExecutors")["executors"]
assert ask(on_agent, "getTasks") is not None
ask(on_agent, "getContainers"), ask(on_agent, "getFrameworks"), ask(on_agent, "getState")

driver.stop()
driver.join()
print("ok", flush=True)

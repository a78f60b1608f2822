"""A framework built on libmesos itself: tasks of the built-in executor and of one that speaks the v0 protocol,
messages, reconciliation, kills, a failover to a second driver, and the end.

Usage: libmesos_framework.py MASTER PACKAGES PYTHON     with Python 2.7 and LD_LIBRARY_PATH=PACKAGES/stand-in
"""

from __future__ import print_function

import os
import sys
import threading

master, packages, python3 = sys.argv[1:]
sys.path.insert(0, packages)

from mesos.interface import Scheduler, mesos_pb2 as v0  # noqa: E402
from mesos.scheduler import MesosSchedulerDriver  # noqa: E402

here = os.path.dirname(os.path.abspath(__file__))
LIMIT = 60


class Recorder(Scheduler):
    """Keeps what the driver says, and launches the tasks it is given to the first offer."""

    def __init__(self, tasks=()):
        self.tasks = list(tasks)
        self.said = []
        self.changed = threading.Condition()
        self.agent = None

    def note(self, *what):
        print(*what)
        sys.stdout.flush()
        with self.changed:
            self.said.append(what)
            self.changed.notify_all()

    def expect(self, *what):
        """Waits until that has been said."""
        with self.changed:
            for _ in range(LIMIT * 10):
                if what in self.said:
                    return
                self.changed.wait(0.1)
        raise AssertionError("not said: %s in %s" % (what, self.said))

    def registered(self, driver, framework_id, master_info):
        assert master_info.port == int(master.rsplit(":", 1)[1]), master_info
        self.framework_id = framework_id.value
        self.note("registered")

    def reregistered(self, driver, master_info):
        self.note("registered")

    def disconnected(self, driver):
        self.note("disconnected")

    def resourceOffers(self, driver, offers):
        offer, others = offers[0], offers[1:]
        for other in others:
            driver.declineOffer(other.id)
        for task in self.tasks:
            task.slave_id.CopyFrom(offer.slave_id)
        filters = v0.Filters(refuse_seconds=0.1)
        if not self.tasks:
            driver.declineOffer(offer.id, filters)
            return
        self.agent = offer.slave_id
        driver.launchTasks([offer.id], self.tasks, filters)
        self.tasks = []

    def statusUpdate(self, driver, update):
        reason = v0.TaskStatus.Reason.Name(update.reason) if update.HasField("reason") else ""
        self.note(update.task_id.value, v0.TaskState.Name(update.state), reason)

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        assert agent_id.value == self.agent.value, agent_id
        self.note("message", executor_id.value, message)

    def executorLost(self, driver, executor_id, agent_id, status):
        self.note("executor lost", executor_id.value)

    def error(self, driver, message):
        self.note("error", message)


def resources(of):
    for name, value in (("cpus", 0.1), ("mem", 32)):
        resource = of.add(name=name, type=v0.Value.SCALAR)
        resource.scalar.value = value


def task(name, command=None):
    info = v0.TaskInfo(name=name)
    info.task_id.value = name
    resources(info.resources)
    if command is not None:
        info.command.value = command
        return info
    info.executor.executor_id.value = "own"
    info.executor.command.value = "exec %s %s/v0_executor.py" % (python3, here)
    proto = os.path.join(os.path.dirname(os.path.dirname(here)), "proto")
    info.executor.command.environment.variables.add(name="MESOSD_PROTO", value=proto)
    resources(info.executor.resources)
    return info


def start(scheduler, framework_id=None):
    framework = v0.FrameworkInfo(user="root", name="libmesos", failover_timeout=60.0, checkpoint=True)
    if framework_id is not None:
        framework.id.value = framework_id
    driver = MesosSchedulerDriver(scheduler, framework, master, True)
    driver.start()
    return driver


tasks = [task("short", "exit 0"), task("bad", "exit 3"), task("long", "exec sleep 1000"), task("own")]
first = Recorder(tasks)
driver = start(first)
first.expect("registered")
for state in ("TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"):
    first.expect("short", state, "")
first.expect("bad", "TASK_FAILED", "")
first.expect("long", "TASK_RUNNING", "")
first.expect("own", "TASK_RUNNING", "")
own = v0.ExecutorID(value="own")
driver.sendFrameworkMessage(own, first.agent, "some words")
first.expect("message", "own", "some words")

# Its successor takes the framework over, and finds the tasks as they were.
driver.stop(True)
driver.join()
second = Recorder([task("late", "exit 0")])
driver = start(second, first.framework_id)
second.expect("registered")
driver.reconcileTasks([])
for name in ("long", "own"):
    second.expect(name, "TASK_RUNNING", "REASON_RECONCILIATION")
driver.reconcileTasks([v0.TaskStatus(task_id=v0.TaskID(value="none"), state=v0.TASK_RUNNING)])
second.expect("none", "TASK_LOST", "REASON_RECONCILIATION")
driver.suppressOffers()
driver.reviveOffers()
second.expect("late", "TASK_FINISHED", "")
driver.killTask(v0.TaskID(value="long"))
second.expect("long", "TASK_KILLED", "")
second_agent = second.agent or first.agent
driver.sendFrameworkMessage(own, second_agent, "finish own")
second.expect("own", "TASK_FINISHED", "")
driver.stop()
driver.join()
wrong = [what for what in first.said + second.said if what[0] in ("error", "disconnected")]
assert not wrong, wrong
print("ok")
sys.stdout.flush()
# Past the end of the interpreter, in which libmesos is not sure to end.
os._exit(0)

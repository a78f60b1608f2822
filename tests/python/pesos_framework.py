"""pesos, a pure-Python driver of the v0 protocol, unmodified: a command task, an executor of its own, the end.

Usage: pesos_framework.py MASTER SITE; SITE holds pesos and what it needs. Python 2.7, as pesos is.
"""

import os
import site
import sys

site.addsitedir(sys.argv[2])

import Queue

from mesos.interface import Scheduler
from pesos.scheduler import PesosSchedulerDriver
from pesos.vendor.mesos import mesos_pb2

HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS = Queue.Queue()
OFFERS = []


class Recorder(Scheduler):
    """Puts every callback into a queue."""

    def registered(self, driver, framework_id, master_info):
        EVENTS.put(("registered", framework_id.value))

    def resourceOffers(self, driver, offers):
        for offer in offers:
            EVENTS.put(("offer", offer))

    def offerRescinded(self, driver, offer_id):
        pass

    def statusUpdate(self, driver, status):
        EVENTS.put((status.task_id.value, mesos_pb2.TaskState.Name(status.state)))

    def frameworkMessage(self, driver, executor_id, slave_id, data):
        EVENTS.put(("message", data))

    def executorLost(self, driver, executor_id, slave_id, status):
        EVENTS.put(("lost", executor_id.value))

    def error(self, driver, message):
        EVENTS.put(("error", message))


def expect(kind, value=None):
    """The next event, which must be of this kind; offers wait until they are wanted."""
    if kind == "offer" and OFFERS:
        return OFFERS.pop()
    while True:
        event = EVENTS.get(timeout=30)
        if event[0] == "offer" != kind:
            OFFERS.append(event[1])
            continue
        assert event[0] == kind and value in (None, event[1]), (event, kind, value)
        return event[1]


def task(name, offer):
    made = mesos_pb2.TaskInfo(name=name)
    made.task_id.value = name
    made.slave_id.value = offer.slave_id.value
    for resource, amount in (("cpus", 0.1), ("mem", 32)):
        entry = made.resources.add(name=resource, type=mesos_pb2.Value.SCALAR)
        entry.scalar.value = amount
    return made


def main():
    framework = mesos_pb2.FrameworkInfo(user="root", name="pesos")
    driver = PesosSchedulerDriver(Recorder(), framework, sys.argv[1])
    driver.start()
    expect("registered")
    offer = expect("offer")
    command = task("command", offer)
    command.command.value = "echo hi"
    own = task("own", offer)
    own.executor.executor_id.value = "echo"
    own.executor.command.value = "exec %s %s/pesos_executor.py %s" % (sys.executable, HERE, sys.argv[2])
    own.executor.resources.extend(own.resources)
    filters = mesos_pb2.Filters(refuse_seconds=1)
    driver.launch_tasks([offer.id.value], [command], filters)
    for state in "STARTING", "RUNNING", "FINISHED":
        expect("command", "TASK_" + state)
    offer = expect("offer")
    own.slave_id.value = offer.slave_id.value
    driver.launch_tasks([offer.id.value], [own], filters)
    expect("own", "TASK_RUNNING")
    driver.send_framework_message(own.executor.executor_id, own.slave_id, "abc")
    assert expect("message") == "cba"
    driver.kill_task(own.task_id)
    expect("own", "TASK_KILLED")
    offer = expect("offer")
    driver.decline_offer(offer.id.value, filters)
    driver.revive_offers()
    expect("offer")
    driver.stop()
    print("ok")


main()

"""A framework that speaks the v0 driver protocol, through every message of it.

Usage: v0_framework.py MASTER PYTHON
"""

import json
import pathlib
import sys
import time
import urllib.request
import uuid

from libprocess import Process, internal

from mesos.scheduler import scheduler_pb2 as v0
from mesos.v1 import mesos_pb2 as v1
from mesos.v1.scheduler import scheduler_pb2 as v1_scheduler

MASTER = f"master@{sys.argv[1]}"
PYTHON = sys.argv[2]
HERE = pathlib.Path(__file__).resolve().parent
Call = v1_scheduler.Call


class Driver:
    """A scheduler's driver. `newer`: it sends calls as drivers since Mesos 0.24 do."""

    def __init__(self, name, newer, failover_timeout=0.0, framework_id=None, silent=False):
        self.process = Process(f"scheduler-{uuid.uuid4()}(1)", silent=silent)
        self.newer = newer
        self.info = v1.FrameworkInfo(user="root", name=name, failover_timeout=failover_timeout)
        if framework_id:
            self.info.id.value = framework_id
        self.agents = {}
        self.offered = []

    def register(self, failover=False):
        """Registers, or registers again where there is an id."""
        if self.newer:
            message = v0.Call(type=Call.SUBSCRIBE)
            message.subscribe.framework_info.CopyFrom(self.info)
            message.subscribe.force = failover
            if self.info.HasField("id"):
                message.framework_id.CopyFrom(self.info.id)
        elif self.info.HasField("id"):
            message = internal.ReregisterFrameworkMessage(framework=self.info, failover=failover)
        else:
            message = internal.RegisterFrameworkMessage(framework=self.info)
        self.process.send(MASTER, message)

    def registered(self, kind=internal.FrameworkRegisteredMessage):
        message, sender = self.process.expect(kind)
        assert sender == MASTER == message.master_info.pid, (sender, message)
        self.info.id.CopyFrom(message.framework_id)

    def send(self, older, kind, **parts):
        """A message of older drivers, or the call of newer ones that means the same, if there is one."""
        if self.newer and kind is not None:
            message = Call(type=kind, framework_id=self.info.id, **parts)
            # The name of the message is the v0 one.
            renamed = v0.Call.FromString(message.SerializeToString())
            self.process.send(MASTER, renamed)
        else:
            older.framework_id.CopyFrom(self.info.id)
            self.process.send(MASTER, older)

    def offer(self):
        """The next offer, with the process of its agent."""
        if not self.offered:
            message, _ = self.process.expect(internal.ResourceOffersMessage)
            assert len(message.offers) == len(message.pids) > 0, message
            self.offered.extend(zip(message.offers, message.pids))
        offer, pid = self.offered.pop()
        address = offer.url.address
        assert pid == f"slave(1)@{address.ip}:{address.port}", pid
        self.agents[offer.agent_id.value] = pid
        return offer

    def launch(self, offer, *tasks, refuse=1.0):
        """Launches tasks; none declines the offer."""
        if not tasks:
            older = internal.LaunchTasksMessage(filters=v1.Filters(refuse_seconds=refuse), offer_ids=[offer.id])
            decline = Call.Decline(offer_ids=[offer.id], filters=v1.Filters(refuse_seconds=refuse))
            self.send(older, Call.DECLINE, decline=decline)
            return
        for task in tasks:
            task.agent_id.CopyFrom(offer.agent_id)
        older = internal.LaunchTasksMessage(
            tasks=tasks, filters=v1.Filters(refuse_seconds=refuse), offer_ids=[offer.id]
        )
        accept = Call.Accept(offer_ids=[offer.id], filters=v1.Filters(refuse_seconds=refuse))
        operation = accept.operations.add(type=v1.Offer.Operation.LAUNCH)
        operation.launch.task_infos.extend(tasks)
        self.send(older, Call.ACCEPT, accept=accept)

    def update(self, task_id, *states):
        """Takes and acknowledges updates of one task until the last of these states, in their order."""
        wanted = list(states)
        while wanted:
            message, _ = self.process.expect(
                internal.StatusUpdateMessage, skip=[internal.ResourceOffersMessage, internal.ExitedExecutorMessage]
            )
            update = message.update
            assert update.status.task_id.value == task_id, update
            assert update.status.state == wanted.pop(0), update
            assert update.framework_id == self.info.id, update
            if update.uuid:
                assert update.uuid == update.status.uuid, update
                assert message.pid == self.agents.get(update.slave_id.value, message.pid), message
                assert message.pid.startswith("slave(1)@"), message
                self.acknowledge(update)
        return update

    def acknowledge(self, update):
        older = internal.StatusUpdateAcknowledgementMessage(
            slave_id=update.slave_id, task_id=update.status.task_id, uuid=update.uuid
        )
        acknowledge = Call.Acknowledge(
            agent_id=update.slave_id, task_id=update.status.task_id, uuid=update.uuid
        )
        self.send(older, Call.ACKNOWLEDGE, acknowledge=acknowledge)

    def kill(self, task_id):
        older = internal.KillTaskMessage(task_id=v1.TaskID(value=task_id))
        self.send(older, Call.KILL, kill=Call.Kill(task_id=v1.TaskID(value=task_id)))

    def reconcile(self, *task_ids):
        older = internal.ReconcileTasksMessage()
        newer = Call.Reconcile()
        for task_id in task_ids:
            older.statuses.add(task_id=v1.TaskID(value=task_id), state=v1.TASK_RUNNING)
            newer.tasks.add(task_id=v1.TaskID(value=task_id))
        self.send(older, Call.RECONCILE, reconcile=newer)


def task(name, command=None, executor=None):
    made = v1.TaskInfo(name=name)
    made.task_id.value = name
    for resource, amount in (("cpus", 0.1), ("mem", 32.0)):
        made.resources.add(name=resource, type=v1.Value.SCALAR).scalar.value = amount
    if executor:
        made.executor.CopyFrom(executor)
    else:
        made.command.value = command
    return made


def executor():
    made = v1.ExecutorInfo(name="v0", source="tests")
    made.executor_id.value = "own"
    made.command.value = f"exec {PYTHON} {HERE / 'v0_executor.py'}"
    made.command.environment.variables.add(name="MESOSD_PROTO", value=str(HERE.parent.parent / "proto"))
    for resource, amount in (("cpus", 0.1), ("mem", 64.0)):
        made.resources.add(name=resource, type=v1.Value.SCALAR).scalar.value = amount
    return made


def work(newer):
    """Offers, tasks, updates, kills, reconciliation, failover, the end."""
    driver = Driver("v0 work", newer, failover_timeout=60.0)
    driver.register()
    driver.registered()
    # A driver that has missed the answer asks again, and gets it again.
    if not newer:
        first = driver.info.id.value
        driver.process.send(MASTER, internal.RegisterFrameworkMessage(framework=v1.FrameworkInfo(user="root", name="v0 work")))
        offers, _ = driver.process.expect(internal.ResourceOffersMessage, internal.FrameworkRegisteredMessage)
        if isinstance(offers, internal.ResourceOffersMessage):
            driver.offered.extend(zip(offers.offers, offers.pids))
            driver.registered()
        assert driver.info.id.value == first
    driver.launch(driver.offer(), task("short", "exit 0"), task("long", "sleep 1000"))
    states = {"short": [], "long": []}
    while v1.TASK_FINISHED not in states["short"] or v1.TASK_RUNNING not in states["long"]:
        message, _ = driver.process.expect(internal.StatusUpdateMessage, skip=[internal.ResourceOffersMessage])
        states[message.update.status.task_id.value].append(message.update.status.state)
        driver.acknowledge(message.update)
    assert states["short"] == [v1.TASK_STARTING, v1.TASK_RUNNING, v1.TASK_FINISHED], states
    driver.reconcile("long")
    assert driver.update("long", v1.TASK_RUNNING).status.reason == v1.TaskStatus.REASON_RECONCILIATION
    driver.reconcile()
    driver.update("long", v1.TASK_RUNNING)
    driver.reconcile("nothing")
    driver.update("nothing", v1.TASK_LOST)

    # The same process registers again.
    driver.register()
    message, _ = driver.process.expect(
        internal.FrameworkRegisteredMessage, skip=[internal.ResourceOffersMessage]
    )
    assert message.framework_id == driver.info.id

    # Another process may take over only if it says so; the former one is told.
    other = Driver("v0 work", newer, 60.0, driver.info.id.value)
    other.register(failover=False)
    error, _ = other.process.expect(internal.FrameworkErrorMessage)
    assert error.message == "Framework failed over", error
    other.process.closed()
    other.register(failover=True)
    other.registered()
    error, _ = driver.process.expect(internal.FrameworkErrorMessage, skip=[internal.ResourceOffersMessage])
    assert error.message == "Framework failed over", error
    driver.process.closed()
    # Its calls do not count any more.
    driver.kill("long")
    other.reconcile("long")
    other.update("long", v1.TASK_RUNNING)

    # One that is killed comes back with its id, and kills its task.
    other.process.close()
    third = Driver("v0 work", newer, 60.0, driver.info.id.value)
    third.register(failover=True)
    third.registered()
    third.kill("long")
    third.update("long", v1.TASK_KILLED)
    third.send(internal.ReviveOffersMessage(), Call.REVIVE)
    offer = third.offer()
    third.send(internal.SuppressOffersMessage(), Call.SUPPRESS)
    third.launch(offer)
    third.send(internal.ResourceRequestMessage(), Call.REQUEST, request=Call.Request())
    third.send(internal.UnregisterFrameworkMessage(), Call.TEARDOWN)
    third.process.closed()
    gone = Driver("v0 work", newer, 60.0, driver.info.id.value)
    gone.register(failover=True)
    error, _ = gone.process.expect(internal.FrameworkErrorMessage)
    assert error.message == "Framework has been removed", error
    gone.process.closed()


def executors(newer):
    """An executor of the same protocol, and bytes both ways: over the master and past it."""
    driver = Driver("v0 executors", newer)
    driver.register()
    driver.registered()
    offer = driver.offer()
    driver.launch(offer, task("first", executor=executor()), task("second", executor=executor()))
    for _ in range(2):
        message, _ = driver.process.expect(internal.StatusUpdateMessage, skip=[internal.ResourceOffersMessage])
        assert message.update.status.state == v1.TASK_RUNNING, message
        assert message.update.executor_id.value == "own", message
        driver.acknowledge(message.update)
    ids = {"slave_id": offer.agent_id, "executor_id": v1.ExecutorID(value="own")}
    words = internal.FrameworkToExecutorMessage(data=b"over the master", **ids)
    newer_words = Call.Message(agent_id=offer.agent_id, executor_id=ids["executor_id"], data=b"over the master")
    driver.send(words, Call.MESSAGE, message=newer_words)
    answer, _ = driver.process.expect(
        internal.ExecutorToFrameworkMessage, skip=[internal.ResourceOffersMessage]
    )
    assert answer.data == b"over the master" and answer.slave_id == offer.agent_id, answer
    agent = driver.agents[offer.agent_id.value]
    finish = internal.FrameworkToExecutorMessage(data=b"finish first", framework_id=driver.info.id, **ids)
    driver.process.send(agent, finish)
    driver.update("first", v1.TASK_FINISHED)
    driver.kill("second")
    driver.update("second", v1.TASK_KILLED)
    # Only a registered executor is heard.
    stranger = Process("executor(1)")
    stray = internal.StatusUpdateMessage()
    stray.update.framework_id.CopyFrom(driver.info.id)
    stray.update.executor_id.value = "own"
    stray.update.status.task_id.value = "second"
    stray.update.status.state = v1.TASK_RUNNING
    stray.update.timestamp, stray.update.uuid = 0.0, uuid.uuid4().bytes
    stranger.send(agent, stray)
    unknown = internal.RegisterExecutorMessage(framework_id=driver.info.id)
    unknown.executor_id.value = "unknown"
    stranger.send(agent, unknown)
    stranger.expect(internal.ShutdownExecutorMessage)
    shutdown = Call(type=Call.SHUTDOWN, framework_id=driver.info.id)
    shutdown.shutdown.executor_id.value = "own"
    shutdown.shutdown.agent_id.CopyFrom(offer.agent_id)
    driver.process.send(MASTER, v0.Call.FromString(shutdown.SerializeToString()))
    exited, _ = driver.process.expect(
        internal.ExitedExecutorMessage, skip=[internal.ResourceOffersMessage]
    )
    assert exited.executor_id.value == "own", exited
    # Without a failover timeout the framework goes with its driver.
    driver.process.close()
    gone_from_state(driver.info.id.value)


def gone_from_state(framework_id):
    """Waits until no process can come back to that framework."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        probe = Driver("probe", False, 0.0, framework_id)
        probe.register(failover=True)
        name, _, body = probe.process.inbox.get(timeout=30)
        probe.process.close()
        if name == "FrameworkErrorMessage":
            assert b"Framework has been removed" in body, body
            return
        time.sleep(0.2)
    raise AssertionError(f"{framework_id} is still there")


def refusals():
    """What a driver is told, or not told."""
    driver = Driver("v0 refused", False)
    driver.process.send(MASTER, internal.AuthenticateMessage(pid=driver.process.pid))
    error, _ = driver.process.expect(internal.AuthenticationErrorMessage)
    assert error.error == "No authenticator loaded", error
    driver.process.closed()
    driver.info.id.value = "mine"
    driver.process.send(MASTER, internal.RegisterFrameworkMessage(framework=driver.info))
    error, _ = driver.process.expect(internal.FrameworkErrorMessage)
    assert "id" in error.message, error
    driver.process.closed()
    driver.info.ClearField("id")
    driver.info.role = "/a"
    driver.register()
    error, _ = driver.process.expect(internal.FrameworkErrorMessage)
    assert "role" in error.message, error
    driver.process.closed()
    # An aborted driver gets no more offers, and its framework stays until it goes.
    driver = Driver("v0 aborted", False)
    driver.register()
    driver.registered()
    offer = driver.offer()
    driver.send(internal.DeactivateFrameworkMessage(), None)
    reader = Driver("v0 reader", False)
    reader.register()
    reader.registered()
    taken = reader.offer()
    assert taken.agent_id == offer.agent_id, taken
    reader.process.send(MASTER, internal.UnregisterFrameworkMessage(framework_id=reader.info.id))
    reader.process.closed()
    driver.process.close()
    gone_from_state(driver.info.id.value)


def metric(name):
    text = urllib.request.urlopen(f"http://{sys.argv[1]}/metrics/snapshot", timeout=30).read()
    return json.loads(text)[name]


def silence():
    """A driver that never reads is let go, and others do not notice."""
    mute = Driver("v0 mute", True, silent=True)
    mute.register()
    deadline = time.monotonic() + 30
    while not mute.process.accepted:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    quick = Driver("v0 quick", False)
    quick.register()
    quick.registered()
    # It reads the first message only; what it asks for fills every buffer between the master and it.
    stream = mute.process.accepted[0].makefile("rb", buffering=0)
    _, _, body = mute.process.read(stream)
    mute.info.id.CopyFrom(internal.FrameworkRegisteredMessage.FromString(body).framework_id)
    before = metric("queues/master_to_scheduler/full")
    # Kills of unknown tasks are answered at once, with the task's id. (A reconciliation is not: its
    # answers wait until there is room.)
    for number in range(3000):
        mute.kill(f"{number:0>60000}")
        if number % 50 == 49 and metric("queues/master_to_scheduler/full") > before:
            break
    else:
        raise AssertionError("a driver that reads nothing is still there")
    quick.reconcile("x")
    quick.update("x", v1.TASK_LOST)
    gone_from_state(mute.info.id.value)
    quick.process.send(MASTER, internal.UnregisterFrameworkMessage(framework_id=quick.info.id))
    quick.process.closed()


refusals()
for kind in (False, True):
    work(kind)
    executors(kind)
silence()
print("ok")

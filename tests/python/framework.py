"""A Mesos framework over gRPC: subscribes, launches what is pending on offers, acknowledges updates."""

import collections
import queue
import sys
import threading
import time
import uuid

import grpc
import stubs  # noqa: F401  makes the mesos modules importable

from mesos.v1 import mesos_pb2 as v1
from mesos.v1.agent import agent_pb2, agent_service_pb2_grpc
from mesos.v1.scheduler import scheduler_pb2, scheduler_service_pb2_grpc

CPUS, MEM = 0.2, 64.0
LIVE = (v1.TASK_STAGING, v1.TASK_STARTING, v1.TASK_RUNNING, v1.TASK_KILLING)


class Framework:
    """One subscription. `updates` and `messages` are queues of what the master sends."""

    def __init__(self, master, name, seconds=240):
        self.deadline = time.monotonic() + seconds
        self.channel = grpc.insecure_channel(master)
        self.stub = scheduler_service_pb2_grpc.SchedulerServiceStub(self.channel)
        self.pending = collections.deque()
        self.place = {}
        self.executors = {}
        self.updates = queue.Queue()
        self.messages = queue.Queue()
        self.lock = threading.Lock()
        call = scheduler_pb2.Call(type=scheduler_pb2.Call.SUBSCRIBE)
        info = call.subscribe.framework_info
        info.user, info.name, info.roles[:] = "root", name, ["builders"]
        info.capabilities.add(type=v1.FrameworkInfo.Capability.MULTI_ROLE)
        self.events = self.stub.Subscribe(call)
        self.stream_id = dict(self.events.initial_metadata())["mesos-stream-id"]
        first = next(self.events)
        assert first.type == scheduler_pb2.Event.SUBSCRIBED, first
        self.id = first.subscribed.framework_id
        threading.Thread(target=self.run, daemon=True).start()

    def call(self, call):
        """One call on the subscription's behalf."""
        call.framework_id.CopyFrom(self.id)
        return self.stub.Call(call, metadata=(("mesos-stream-id", self.stream_id),), timeout=30)

    def submit(self, name, command=None, uris=(), executor=None):
        """Queues a task; the next offers carry it. Returns the task's id."""
        task = v1.TaskInfo(name=name)
        task.task_id.value = f"{name}-{uuid.uuid4().hex[:8]}"
        for resource, amount in (("cpus", CPUS), ("mem", MEM)):
            entry = task.resources.add(name=resource, type=v1.Value.SCALAR)
            entry.scalar.value = amount
        if executor is None:
            task.command.value = command
            for uri in uris:
                task.command.uris.add(value=uri)
        else:
            task.executor.CopyFrom(executor)
            task.executor.framework_id.CopyFrom(self.id)
        # Under the lock: a long filter decided on before must not be set after this.
        with self.lock:
            self.pending.append(task)
            self.call(scheduler_pb2.Call(type=scheduler_pb2.Call.REVIVE))
        return task.task_id.value

    def run(self):
        """Reads the stream until it ends."""
        for event in self.events:
            if event.type == scheduler_pb2.Event.OFFERS:
                for offer in event.offers.offers:
                    self.use(offer)
            elif event.type == scheduler_pb2.Event.UPDATE:
                self.acknowledge(event.update.status)
                self.updates.put(event.update.status)
            elif event.type == scheduler_pb2.Event.MESSAGE:
                self.messages.put(event.message.data)
            elif event.type == scheduler_pb2.Event.ERROR:
                sys.exit(f"the master ended the subscription: {event.error.message}")

    def use(self, offer):
        """Accepts with what fits, or declines."""
        with self.lock:
            self.use_locked(offer)

    def use_locked(self, offer):
        """The same, with the lock held."""
        cpus = sum(r.scalar.value for r in offer.resources if r.name == "cpus")
        mem = sum(r.scalar.value for r in offer.resources if r.name == "mem")
        tasks = []
        # A few per offer, so that the work spreads over the agents.
        while self.pending and len(tasks) < 4 and cpus >= 2 * CPUS and mem >= 2 * MEM:
            task = self.pending.popleft()
            task.agent_id.CopyFrom(offer.agent_id)
            for resource in (*task.resources, *task.executor.resources):
                resource.allocation_info.role = offer.allocation_info.role
            self.place[task.task_id.value] = offer
            tasks.append(task)
            cpus, mem = cpus - 2 * CPUS, mem - 2 * MEM
        wanted = bool(self.pending)
        refuse = 0 if wanted else 3600
        if tasks:
            call = scheduler_pb2.Call(type=scheduler_pb2.Call.ACCEPT)
            call.accept.offer_ids.add().CopyFrom(offer.id)
            operation = call.accept.operations.add(type=v1.Offer.Operation.LAUNCH)
            operation.launch.task_infos.extend(tasks)
            call.accept.filters.refuse_seconds = refuse
        else:
            call = scheduler_pb2.Call(type=scheduler_pb2.Call.DECLINE)
            call.decline.offer_ids.add().CopyFrom(offer.id)
            call.decline.filters.refuse_seconds = refuse
        self.call(call)

    def acknowledge(self, status):
        """Tells the agent, through the master, that the update was taken note of."""
        if not status.uuid:
            return
        call = scheduler_pb2.Call(type=scheduler_pb2.Call.ACKNOWLEDGE)
        call.acknowledge.agent_id.CopyFrom(status.agent_id)
        call.acknowledge.task_id.CopyFrom(status.task_id)
        call.acknowledge.uuid = status.uuid
        self.call(call)

    def kill(self, task_id):
        """Asks for the end of a task."""
        call = scheduler_pb2.Call(type=scheduler_pb2.Call.KILL)
        call.kill.task_id.value = task_id
        self.call(call)

    def message(self, task_id, executor_id, data):
        """Sends bytes to the executor of a task."""
        call = scheduler_pb2.Call(type=scheduler_pb2.Call.MESSAGE)
        call.message.agent_id.CopyFrom(self.place[task_id].agent_id)
        call.message.executor_id.value = executor_id
        call.message.data = data
        self.call(call)

    def next_update(self):
        """The next status update of any task."""
        return self.updates.get(timeout=max(1, self.deadline - time.monotonic()))

    def next_end(self):
        """The next terminal update of any task."""
        while True:
            status = self.next_update()
            if status.state not in LIVE:
                return status

    def teardown(self):
        """Ends the framework for good."""
        self.call(scheduler_pb2.Call(type=scheduler_pb2.Call.TEARDOWN))
        self.channel.close()

    def sandbox_file(self, task_id, name, executor_id=None):
        """The whole of a file in the task's sandbox, read in pages from its agent."""
        address = self.place[task_id].url.address
        path = f"/frameworks/{self.id.value}/executors/{executor_id or task_id}/runs/latest/{name}"
        with grpc.insecure_channel(f"{address.ip or address.hostname}:{address.port}") as channel:
            stub = agent_service_pb2_grpc.AgentServiceStub(channel)
            data = b""
            while True:
                call = agent_pb2.Call(type=agent_pb2.Call.READ_FILE)
                call.read_file.path, call.read_file.offset, call.read_file.length = path, len(data), 65536
                reply = stub.Call(call, timeout=30).read_file
                data += reply.data
                if not reply.data or len(data) >= reply.size:
                    return data

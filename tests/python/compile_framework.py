"""A Mesos framework written from nothing but proto/: compiles a C library on a mesosd cluster.

Usage: compile_framework.py MASTER PROTO_DIR SOURCE_TARBALL COLLECT_DIR TEST_SOURCE SOURCE...

One task per source file; each object is read from its sandbox through the agent's API; a last task
links them with TEST_SOURCE and runs the result. Exit code 0 when that program passed; its output is
printed. The stubs are generated from PROTO_DIR on the spot with grpcio-tools.
"""

import collections
import pathlib
import queue
import sys
import tempfile
import threading
import time
import uuid

import grpc
import grpc_tools
from grpc_tools import protoc

MASTER, PROTO_DIR, TARBALL, COLLECT, TEST_SOURCE, *SOURCES = sys.argv[1:]
DEADLINE = time.monotonic() + 240


def generate(proto_dir):
    out = tempfile.mkdtemp(prefix="mesosd-python-")
    protos = sorted(str(path.relative_to(proto_dir)) for path in pathlib.Path(proto_dir).rglob("*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    includes = [f"-I{proto_dir}", f"-I{well_known}"]
    code = protoc.main(["protoc", *includes, f"--python_out={out}", f"--grpc_python_out={out}", *protos])
    if code != 0:
        sys.exit(f"protoc failed with {code}")
    sys.path.insert(0, out)


generate(PROTO_DIR)

from mesos.v1 import mesos_pb2 as v1  # noqa: E402
from mesos.v1.agent import agent_pb2  # noqa: E402
from mesos.v1.agent import agent_service_pb2_grpc  # noqa: E402
from mesos.v1.scheduler import scheduler_pb2, scheduler_service_pb2_grpc  # noqa: E402


class Framework:
    """Subscribes, launches the pending tasks on offers, acknowledges updates."""

    def __init__(self, master):
        self.channel = grpc.insecure_channel(master)
        self.stub = scheduler_service_pb2_grpc.SchedulerServiceStub(self.channel)
        self.pending = collections.deque()
        self.place = {}
        self.finished = queue.Queue()
        call = scheduler_pb2.Call(type=scheduler_pb2.Call.SUBSCRIBE)
        info = call.subscribe.framework_info
        info.user, info.name, info.roles[:] = "root", "python-compile", ["builders"]
        info.capabilities.add(type=v1.FrameworkInfo.Capability.MULTI_ROLE)
        self.events = self.stub.Subscribe(call)
        metadata = dict(self.events.initial_metadata())
        self.stream_id = metadata["mesos-stream-id"]
        self.lock = threading.Lock()
        first = next(self.events)
        assert first.type == scheduler_pb2.Event.SUBSCRIBED, first
        self.id = first.subscribed.framework_id
        threading.Thread(target=self.run, daemon=True).start()

    def call(self, call):
        call.framework_id.CopyFrom(self.id)
        return self.stub.Call(call, metadata=(("mesos-stream-id", self.stream_id),), timeout=30)

    def submit(self, name, command, uris):
        task = v1.TaskInfo(name=name)
        task.task_id.value = f"{name}-{uuid.uuid4().hex[:8]}"
        for resource, amount in (("cpus", 0.2), ("mem", 64.0)):
            entry = task.resources.add(name=resource, type=v1.Value.SCALAR)
            entry.scalar.value = amount
        task.command.value = command
        for uri in uris:
            task.command.uris.add(value=uri)
        with self.lock:
            self.pending.append(task)
        self.call(scheduler_pb2.Call(type=scheduler_pb2.Call.REVIVE))
        return task.task_id.value

    def run(self):
        for event in self.events:
            if event.type == scheduler_pb2.Event.OFFERS:
                for offer in event.offers.offers:
                    self.use(offer)
            elif event.type == scheduler_pb2.Event.UPDATE:
                self.update(event.update.status)
            elif event.type == scheduler_pb2.Event.ERROR:
                self.finished.put((None, event.error.message))

    def use(self, offer):
        cpus = sum(r.scalar.value for r in offer.resources if r.name == "cpus")
        mem = sum(r.scalar.value for r in offer.resources if r.name == "mem")
        tasks = []
        with self.lock:
            # A few per offer, so that the work spreads over the agents.
            while self.pending and len(tasks) < 4 and cpus >= 0.2 and mem >= 64:
                task = self.pending.popleft()
                task.agent_id.CopyFrom(offer.agent_id)
                for resource in task.resources:
                    resource.allocation_info.role = offer.allocation_info.role
                self.place[task.task_id.value] = offer
                tasks.append(task)
                cpus, mem = cpus - 0.2, mem - 64
            wanted = bool(self.pending)
        call = scheduler_pb2.Call()
        if tasks:
            call.type = scheduler_pb2.Call.ACCEPT
            call.accept.offer_ids.add().CopyFrom(offer.id)
            operation = call.accept.operations.add(type=v1.Offer.Operation.LAUNCH)
            operation.launch.task_infos.extend(tasks)
            call.accept.filters.refuse_seconds = 0 if wanted else 3600
        else:
            call.type = scheduler_pb2.Call.DECLINE
            call.decline.offer_ids.add().CopyFrom(offer.id)
            call.decline.filters.refuse_seconds = 0 if wanted else 3600
        self.call(call)

    def update(self, status):
        if status.uuid:
            call = scheduler_pb2.Call(type=scheduler_pb2.Call.ACKNOWLEDGE)
            call.acknowledge.agent_id.CopyFrom(status.agent_id)
            call.acknowledge.task_id.CopyFrom(status.task_id)
            call.acknowledge.uuid = status.uuid
            self.call(call)
        if status.state not in (v1.TASK_STAGING, v1.TASK_STARTING, v1.TASK_RUNNING):
            self.finished.put((status.task_id.value, status))

    def wait(self):
        """The next ended task's id and status."""
        task_id, status = self.finished.get(timeout=max(1, DEADLINE - time.monotonic()))
        if task_id is None:
            sys.exit(f"the master ended the subscription: {status}")
        return task_id, status

    def teardown(self):
        self.call(scheduler_pb2.Call(type=scheduler_pb2.Call.TEARDOWN))
        self.channel.close()

    def sandbox_file(self, task_id, name):
        """The whole of a file in the task's sandbox, read in pages from its agent."""
        offer = self.place[task_id]
        agent = f"{offer.url.address.ip or offer.url.address.hostname}:{offer.url.address.port}"
        path = (
            f"/frameworks/{self.id.value}/executors/{task_id}/runs/latest/{name}"
        )
        with grpc.insecure_channel(agent) as channel:
            stub = agent_service_pb2_grpc.AgentServiceStub(channel)
            data = b""
            while True:
                call = agent_pb2.Call(type=agent_pb2.Call.READ_FILE)
                call.read_file.path, call.read_file.offset, call.read_file.length = path, len(data), 65536
                reply = stub.Call(call, timeout=30).read_file
                data += reply.data
                if not reply.data or len(data) >= reply.size:
                    return data


def main():
    framework = Framework(MASTER)
    tarball = pathlib.Path(TARBALL)
    uri = f"file://{tarball}"
    names = {}
    for source in SOURCES:
        command = f"cc -O2 -fPIC -D_LARGEFILE64_SOURCE=1 -DHAVE_UNISTD_H -I zlib -c zlib/{source}.c -o {source}.o"
        names[framework.submit(f"compile-{source}", command, [uri])] = source
    agents = set()
    objects = []
    left = set(names)
    while left:
        task_id, status = framework.wait()
        if status.state != v1.TASK_FINISHED:
            errors = framework.sandbox_file(task_id, "stderr").decode(errors="replace")
            sys.exit(f"{task_id}: {v1.TaskState.Name(status.state)} {status.message}\n{errors}")
        left.discard(task_id)
        agents.add(status.agent_id.value)
        path = pathlib.Path(COLLECT) / f"{names[task_id]}.o"
        path.write_bytes(framework.sandbox_file(task_id, path.name))
        objects.append(path)
    command = f"cc -I zlib zlib/{TEST_SOURCE} *.o -o example && ./example"
    test = framework.submit("test", command, [uri, *(f"file://{path}" for path in sorted(objects))])
    task_id, status = framework.wait()
    assert task_id == test, (task_id, test)
    print(framework.sandbox_file(task_id, "stdout").decode())
    print(f"{len(objects)} objects from {len(agents)} agents; test {v1.TaskState.Name(status.state)}")
    framework.teardown()
    sys.exit(0 if status.state == v1.TASK_FINISHED else f"test: {status.message}")


main()

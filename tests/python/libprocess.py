"""A process that speaks libprocess: messages as HTTP requests, both ways, with the standard library only."""

import os
import queue
import socket
import threading

import stubs  # noqa: F401  makes the mesos modules importable

from mesos.internal import messages_pb2 as internal


class Process:
    """Listens on a port of its own; `inbox` gets (name, sender, body) of every message."""

    def __init__(self, name, ip="127.0.0.1", silent=False):
        self.inbox = queue.Queue()
        self.silent = silent
        self.links = {}
        self.accepted = []
        self.listener = socket.create_server((ip, 0))
        self.pid = f"{name}@{ip}:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted.append(connection)
            if not self.silent:
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        """The messages of one connection, until it ends."""
        stream = connection.makefile("rb")
        try:
            while message := self.read(stream):
                path, sender, body = message
                connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                assert path.split("/")[1] == self.pid.split("@")[0], path
                self.inbox.put((path.split(".")[-1], sender, body))
        except OSError:
            pass
        self.inbox.put(("(closed)", None, b""))

    @classmethod
    def read(cls, stream):
        """The next message: its path, its sender and its body; None at the end."""
        line = stream.readline()
        if not line:
            return None
        headers = {}
        while (header := stream.readline()) not in (b"\r\n", b""):
            name, value = header.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        return line.split()[1].decode(), headers["libprocess-from"], cls.body(stream, headers)

    @staticmethod
    def body(stream, headers):
        if headers.get("transfer-encoding") != "chunked":
            return stream.read(int(headers.get("content-length", 0)))
        parts = []
        while length := int(stream.readline(), 16):
            parts.append(stream.read(length))
            stream.readline()
        stream.readline()
        return b"".join(parts)

    def send(self, pid, message, chunked=False):
        """Sends over the connection to that process; what it answers is counted, not awaited."""
        process, address = pid.split("@")
        link = self.links.get(pid)
        if link is None:
            host, port = address.rsplit(":", 1)
            link = self.links[pid] = socket.create_connection((host, int(port)), timeout=60)
            threading.Thread(target=self.drain, args=(link,), daemon=True).start()
        body = message.SerializeToString()
        name = message.DESCRIPTOR.full_name
        framing = f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        if chunked:
            framing = f"Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        head = (
            f"POST /{process}/{name} HTTP/1.1\r\nUser-Agent: libprocess/{self.pid}\r\n"
            f"Libprocess-From: {self.pid}\r\nConnection: Keep-Alive\r\nHost: {address}\r\n"
        )
        link.sendall(head.encode() + framing)

    @staticmethod
    def drain(link):
        try:
            while link.recv(4096):
                pass
        except OSError:
            pass

    def expect(self, *kinds, seconds=60, skip=()):
        """The next message, which must be one of these types; those to skip may come before it."""
        skipped = [kind.__name__ for kind in skip]
        while True:
            name, sender, body = self.inbox.get(timeout=seconds)
            for kind in kinds:
                if name == kind.__name__:
                    return kind.FromString(body), sender
            assert name in skipped, f"{name}, not one of {[kind.__name__ for kind in kinds]}: {body}"

    def closed(self, seconds=60):
        """Waits for the end of the connection from outside; whatever else comes is skipped."""
        while self.inbox.get(timeout=seconds)[0] != "(closed)":
            pass

    def close(self):
        """Goes away as a process that is killed."""
        for one in [self.listener, *self.accepted, *self.links.values()]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


def agent_pid():
    """The agent of an executor's environment."""
    return os.environ["MESOS_SLAVE_PID"]


__all__ = ["Process", "agent_pid", "internal"]

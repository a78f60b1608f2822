"""The Python modules of proto/, generated on import with grpcio-tools from the folder MESOSD_PROTO."""

import atexit
import os
import pathlib
import shutil
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc


def generate(proto_dir):
    """Makes the Python modules of every .proto file below proto_dir importable."""
    out = tempfile.mkdtemp(prefix="mesosd-python-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    protos = sorted(str(path.relative_to(proto_dir)) for path in pathlib.Path(proto_dir).rglob("*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    includes = [f"-I{proto_dir}", f"-I{well_known}"]
    code = protoc.main(["protoc", *includes, f"--python_out={out}", f"--grpc_python_out={out}", *protos])
    if code != 0:
        sys.exit(f"protoc failed with {code}")
    sys.path.insert(0, out)


generate(os.environ["MESOSD_PROTO"])

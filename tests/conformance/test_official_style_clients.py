"""Clients of Vectron's official contract, unchanged, in three languages: stubs from its .proto and none of our code.

Python's needs nothing that is not installed. Those of Go and JavaScript need their toolchains and fetch the gRPC
libraries of those languages, so they run with `make conformance-clients` only.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

from vectrograph import RunningServer, running
from vectron_client._pb import auth_pb, vectron_pb

HERE = Path(__file__).resolve().parent / "clients"
PROTO = HERE / "proto"
FILES = ("auth/auth.proto", "apigateway/apigateway.proto")
ACCOUNT = ("dev@neurograph.dev", "developer123")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def command(*words: str, cwd: Path, **environment: str) -> str:
    """Run a program to its end; returns what it printed."""
    done = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> str:
    """Return the path of a toolchain; skips where it is not there, or where nothing is to be fetched."""
    if "CONFORMANCE_CLIENTS" not in os.environ:
        pytest.skip(f"fetches libraries for {name}; run `make conformance-clients`")
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def descriptors(folder: Path) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    out = folder / "descriptors"
    assert protoc.main(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", *FILES]) == 0
    return {file.package: file for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file}


def test_our_contract_is_the_official_one_and_fields_from_100(tmp_path: Path) -> None:
    official = descriptors(tmp_path)
    for module in (vectron_pb, auth_pb):
        ours = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(ours)
        theirs = official[ours.package]
        here = {message.name: message for message in ours.message_type}
        assert list(theirs.service) == list(ours.service)
        assert list(theirs.enum_type) == list(ours.enum_type)
        for message in theirs.message_type:
            assert list(message.field) == [field for field in here[message.name].field if field.number < 100]


def test_python(server: RunningServer, tmp_path: Path) -> None:
    output = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    assert protoc.main(["protoc", f"-I{PROTO}", *output, *FILES]) == 0
    program = str(HERE / "python" / "client.py")
    printed = command(sys.executable, program, server.grpc_address, *ACCOUNT, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert printed.endswith("all checks passed\n")


def test_go(server: RunningServer, tmp_path: Path) -> None:
    go = tool("go")
    for name in ("main.go", "go.mod", "go.sum"):
        shutil.copy(HERE / "go" / name, tmp_path)
    tools = tmp_path / "bin"
    command(go, "build", "-o", f"{tools}/", "tool", cwd=tmp_path)
    places = ["Mapigateway/apigateway.proto=conformance/apigatewaypb", "Mauth/auth.proto=conformance/authpb"]
    options = [f"--{kind}_opt={option}" for kind in ("go", "go-grpc") for option in (*places, "module=conformance")]
    plugins = [f"--plugin={tools}/{name}" for name in ("protoc-gen-go", "protoc-gen-go-grpc")]
    output = [f"--go_out={tmp_path}", f"--go-grpc_out={tmp_path}"]
    assert protoc.main(["protoc", f"-I{PROTO}", *plugins, *options, *output, *FILES]) == 0
    command(go, "build", "-o", "conformance", ".", cwd=tmp_path)
    printed = command(str(tmp_path / "conformance"), server.grpc_address, *ACCOUNT, cwd=tmp_path)
    assert printed.endswith("all checks passed\n")


def test_javascript(server: RunningServer, tmp_path: Path) -> None:
    node, npm = tool("node"), tool("npm")
    for name in ("client.js", "package.json"):
        shutil.copy(HERE / "js" / name, tmp_path)
    command(npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", cwd=tmp_path)
    printed = command(node, "client.js", str(PROTO), server.grpc_address, *ACCOUNT, cwd=tmp_path)
    assert printed.endswith("all checks passed\n")

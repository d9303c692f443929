"""Importing brings little along, and numpy is not needed."""

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from vectron_client._pb import vectron_pb as wire

if TYPE_CHECKING:
    from scripted.conftest import RunScript, ScriptedServer


def test_importing_leaves_numpy_alone() -> None:
    script = """
        import sys
        import vectron_client
        print("numpy" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def test_importing_loads_little_beyond_grpc_and_protobuf() -> None:
    script = """
        import sys
        import grpc, grpc.aio
        import google.protobuf.descriptor_pool, google.protobuf.message_factory, google.protobuf.unknown_fields
        before = set(sys.modules)
        import vectron_client
        print(*sorted(set(sys.modules) - before))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    foreign = [name for name in loaded if name.partition(".")[0] != "vectron_client"]
    assert len(foreign) <= 16, foreign  # urllib.parse among them, which keeps credentials out of messages
    assert len(loaded) - len(foreign) <= 60


def test_everything_works_without_numpy(server: "ScriptedServer", run_script: "RunScript") -> None:
    server.answers("Upsert", wire.UpsertResponse(upserted=1))
    server.answers("Get", wire.GetResponse(point=wire.Point(id="a", vector=[1.0, 2.0])))
    script = """
        import array, sys
        sys.modules["numpy"] = None  # as if it were not installed
        from vectron_client import Point, VectronClient

        with VectronClient(sys.argv[1]) as client:
            print(client.upsert("docs", [Point("a", array.array("f", [1.0, 2.0]))]))
            point = client.get("docs", "a")
            client.upsert("docs", [point])
            print(point)
            try:
                point.vector_array
            except ImportError:
                print("no array")
    """
    assert run_script(script, server.address) == "1\nPoint(id='a', vector=[1.0, 2.0], payload={})\nno array\n"
    expected = wire.UpsertRequest(collection="docs", points=[wire.Point(id="a", vector=[1.0, 2.0])]).SerializeToString()
    assert [seen.body for seen in server.seen if seen.method == "Upsert"] == [expected] * 2

"""No answer shows paths of the server or texts of its exceptions, whatever is damaged. FINDINGS B10."""

import json
from pathlib import Path
from typing import Any

import grpc
import httpx2

from vectrograph import running
from vectrograph.rpc._pb import vectrograph_pb as own
from vectrograph.rpc._pb import vectron_pb as pb
from vectron_client import Point

INSIDE = ("Error", "Damaged", "Traceback", ".sqlite", "/", "manifest")


def damage(file: Path) -> None:
    file.write_bytes(b"\xff" * 4096 + file.read_bytes()[4096:])


def told_over_grpc(channel: Any, method: str, message: Any, key: str) -> str:
    """Return all that the answer or the error of a call says."""
    try:
        answer = channel.unary_unary(f"/{method}")(
            message.SerializeToString(), metadata=(("x-api-key", key),), timeout=20
        )
    except grpc.RpcError as raised:
        error: Any = raised
        return f"{error.details()} {[value for _, value in error.trailing_metadata()]}"
    return repr(bytes(answer))


def test_a_damaged_collection_tells_callers_nothing_of_files_and_exceptions(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as server, server.vectron() as client:
        client.create_collection("docs", 2, "cosine")
        client.upsert("docs", [Point(id=str(number), vector=[1.0, number]) for number in range(100)])
        client.create_collection("lost", 2, "cosine")
    for file in data.rglob("points.sqlite"):
        manifest = (file.parent / "manifest.json").read_text()
        if '"docs"' in manifest:
            damage(file)
        if '"lost"' in manifest:
            file.unlink()
    told: dict[str, str] = {}
    with running(data) as server, grpc.insecure_channel(server.grpc_address) as channel:
        key = server.api_key
        with httpx2.Client(base_url=server.http_url, headers={"X-API-Key": key}) as http:
            status = http.get("/api/v1/status").json()
            assert status["quarantined"].keys() == {"docs", "lost"}
            told["status"] = json.dumps(status["quarantined"])
            for path in ("/api/v1/health", "/readyz"):
                told[path] = json.dumps(http.get(path).json())
            for name in ("docs", "lost"):
                for path in ("info", "status"):
                    told[f"{name} {path}"] = http.get(f"/v1/collections/{name}/{path}").text
                answers = (
                    http.get(f"/v1/collections/{name}/points/1"),
                    http.post(f"/v1/collections/{name}/points/search", json={"vector": [1, 0]}),
                    http.post(f"/v1/collections/{name}/points", json={"points": [{"id": "1", "vector": [1, 0]}]}),
                )
                for answer in answers:
                    assert answer.status_code == 400
                    told[f"{name} {answer.request.url.path}"] = answer.text
                calls = {
                    "vectrograph.v1.VectrographService/GetCollectionInfo": own.GetCollectionInfoRequest(name=name),
                    "vectron.v1.VectronService/GetCollectionStatus": pb.GetCollectionStatusRequest(name=name),
                    "vectron.v1.VectronService/Get": pb.GetRequest(collection=name, id="1"),
                    "vectron.v1.VectronService/Search": pb.SearchRequest(collection=name, vector=[1, 0], top_k=1),
                }
                for method, message in calls.items():
                    told[f"{name} {method}"] = told_over_grpc(channel, method, message, key)
    for place, text in told.items():
        for word in (*INSIDE, str(tmp_path)):
            assert word not in text.replace(r"\x", ""), (place, text)

"""Equal scores: newest first, over every wire. FINDINGS A7."""

from typing import Any

import grpc
import httpx2

from vectrograph import running
from vectrograph.rpc._pb import vectrograph_pb as own
from vectron_client import Point

IDS = ["m", "a", "z", "b"]


def test_equal_scores_come_newest_first_over_every_wire() -> None:
    with running() as server, server.vectron() as vectron, server.neurograph() as neurograph:
        vectron.create_collection("docs", 2, "cosine")
        for name in IDS:
            vectron.upsert("docs", [Point(id=name, vector=[1.0, 0.0])])
        assert [hit.id for hit in vectron.search("docs", [1.0, 0.0], top_k=4)] == IDS[::-1]
        batch = vectron.search_many("docs", [[1.0, 0.0]], top_k=4)
        assert [hit.id for hit in batch[0]] == IDS[::-1]
        headers = {"X-API-Key": server.api_key}
        body = {"vector": [1.0, 0.0], "topK": 4}
        found = httpx2.post(f"{server.http_url}/v1/collections/docs/points/search", json=body, headers=headers).json()
        assert [hit["id"] for hit in found["results"]] == IDS[::-1]
        tokens = [neurograph.tokens.create(text="the same words").id for _ in range(4)]
        hits = neurograph.tokens.query(text="the same words", top_k=4)
        assert [hit.token.id for hit in hits] == tokens[::-1]


def test_limits_are_public_over_every_wire_and_say_the_same() -> None:
    """Clients need them before their first call. They show numbers of the configuration, and nothing that is stored."""
    with running() as server:
        rest = httpx2.get(f"{server.http_url}/api/v1/limits").json()
        gateway = httpx2.get(f"{server.http_url}/v1/limits").json()
        channel: Any
        with grpc.insecure_channel(server.grpc_address) as channel:
            call = channel.unary_unary("/vectrograph.v1.VectrographService/GetLimits")
            rpc = own.GetLimitsResponse.FromString(call(b"", timeout=20))
        assert rest["max_batch"] == gateway["maxBatch"] == rpc.max_batch
        assert rest["max_body_bytes"] == int(gateway["maxMessageBytes"]) == rpc.max_message_bytes

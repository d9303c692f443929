"""A client of Vectron's official contract in Python: plain protoc stubs of its .proto, no extensions, none of our code.

    python client.py ADDRESS EMAIL PASSWORD

with the generated modules on the path. Exits with an error at the first check that does not hold.
"""

# mypy: ignore-errors

import sys
import uuid

import grpc
from apigateway import apigateway_pb2 as api_pb
from apigateway import apigateway_pb2_grpc as api_grpc
from auth import auth_pb2 as auth_pb
from auth import auth_pb2_grpc as auth_grpc

VECTORS = {"near": [0.5, -0.5, 268.25], "far": [1.5, 2.25, -8.0], "a/b c%": [0.0, 2.0**-126, 7.0]}
SECONDS = 10


def refused(what, status, call):
    """Goes on only when a call ends with this status."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() is status, f"{what}: {error.code()}, not {status}"
    else:
        raise AssertionError(f"{what} was accepted")


def collection(api, token):
    """From create to drop with one credential."""
    name = f"python-{uuid.uuid4().hex}"
    sent = {"metadata": [("authorization", f"Bearer {token}")], "timeout": SECONDS}
    assert api.CreateCollection(api_pb.CreateCollectionRequest(name=name, dimension=3), **sent).success
    again = api_pb.CreateCollectionRequest(name=name, dimension=3)
    refused("create again", grpc.StatusCode.ALREADY_EXISTS, lambda: api.CreateCollection(again, **sent))
    status = api.GetCollectionStatus(api_pb.GetCollectionStatusRequest(name=name), **sent)
    assert (status.dimension, status.distance, status.shards[0].ready) == (3, "euclidean", True)

    points = [api_pb.Point(id=key, vector=vector, payload={"name": key}) for key, vector in VECTORS.items()]
    assert api.Upsert(api_pb.UpsertRequest(collection=name, points=points), **sent).upserted == 3
    search = api_pb.SearchRequest(collection=name, vector=VECTORS["far"], top_k=2, include_vectors=True)
    first, second = api.Search(search, **sent).results
    assert (first.id, first.score, list(first.vector), dict(first.payload)) == (
        "far",
        0.0,
        VECTORS["far"],
        {"name": "far"},
    )
    assert second.score > 0
    *_, last = api.SearchStream(search, **sent)
    assert [result.id for result in last.results] == [first.id, second.id]
    refused(
        "an anonymous caller", grpc.StatusCode.UNAUTHENTICATED, lambda: list(api.SearchStream(search, timeout=SECONDS))
    )

    for key, vector in VECTORS.items():
        point = api.Get(api_pb.GetRequest(collection=name, id=key), **sent).point
        assert (list(point.vector), dict(point.payload)) == (vector, {"name": key})
    api.Delete(api_pb.DeleteRequest(collection=name, id="near"), **sent)
    gone = api_pb.GetRequest(collection=name, id="near")
    refused("get of what is deleted", grpc.StatusCode.NOT_FOUND, lambda: api.Get(gone, **sent))
    odd = api_pb.SearchRequest(collection=name, vector=[1.0])
    refused("another dimension", grpc.StatusCode.INVALID_ARGUMENT, lambda: api.Search(odd, **sent))
    api.DeleteCollection(api_pb.DeleteCollectionRequest(name=name), **sent)


def main(address, email, password):
    """From an account to a key and a token, with each of them through a collection, and to their end."""
    with grpc.insecure_channel(address) as channel:
        api, auth = api_grpc.VectronServiceStub(channel), auth_grpc.AuthServiceStub(channel)
        login = auth.Login(auth_pb.LoginRequest(email=email, password=password))
        sent = {"metadata": [("authorization", f"Bearer {login.jwt_token}")], "timeout": SECONDS}
        key = auth.CreateAPIKey(auth_pb.CreateAPIKeyRequest(name="python conformance"), **sent)
        prefix = key.key_info.key_prefix
        sdk = auth.CreateSDKJWT(auth_pb.CreateSDKJWTRequest(api_key_id=prefix), **sent).sdk_jwt
        for token in (login.jwt_token, key.full_key, sdk):
            collection(api, token)
        assert auth.DeleteAPIKey(auth_pb.DeleteAPIKeyRequest(key_prefix=prefix), **sent).success
        ended = [("authorization", f"Bearer {sdk}")]
        names = api_pb.ListCollectionsRequest()
        refused("an ended token", grpc.StatusCode.UNAUTHENTICATED, lambda: api.ListCollections(names, metadata=ended))
    print("all checks passed")


if __name__ == "__main__":
    main(*sys.argv[1:4])

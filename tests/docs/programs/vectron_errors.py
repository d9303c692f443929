"""The documented exceptions, importable from where the documentation says."""

from vectron_client import VectronClient
from vectron_client.exceptions import (
    AlreadyExistsError,
    AuthenticationError,
    InternalServerError,
    InvalidArgumentError,
    NotFoundError,
    VectronError,
)

TREE = (AuthenticationError, NotFoundError, InvalidArgumentError, AlreadyExistsError, InternalServerError)
assert all(issubclass(kind, VectronError) for kind in TREE)

with VectronClient(host="localhost:8081", api_key="YOUR_API_KEY") as client:
    client.create_collection(name="my-collection", dimension=4)
    try:
        client.get("my-collection", "non-existent-id")
    except NotFoundError:
        print("Point not found, as expected.")
    except InvalidArgumentError as e:
        raise AssertionError(f"Invalid argument provided: {e}") from e
    else:
        raise AssertionError("found")

    try:
        client.create_collection(name="my-collection", dimension=4)
    except AlreadyExistsError as e:
        print(e)
    else:
        raise AssertionError("created twice")

with VectronClient(host="localhost:8081", api_key="not-a-key") as client:
    try:
        client.list_collections()
    except AuthenticationError as e:
        print(e)
    else:
        raise AssertionError("let in")

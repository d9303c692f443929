"""The exception tree, caught from the most particular to the most general."""

import neurograph
from neurograph import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NeuroGraphClient,
    NeuroGraphError,
    NotFoundError,
    RateLimitError,
    ServerError,
    TimeoutError,
    ValidationError,
)

TREE = (
    AuthenticationError,
    AuthorizationError,
    NotFoundError,
    ValidationError,
    RateLimitError,
    ServerError,
    ConnectionError,
    TimeoutError,
)
assert all(issubclass(kind, NeuroGraphError) for kind in TREE)

with NeuroGraphClient(base_url="http://localhost:8000", username="viewer", password="viewer123") as client:
    try:
        client.tokens.get(token_id=999999)
    except NotFoundError as e:
        print(f"Token not found: {e.message}")
        print(f"Error code: {e.error_code}")
        print(f"Details: {e.details}")
    else:
        raise AssertionError("found")

    try:
        client.tokens.create(text="a viewer may not")
    except AuthorizationError as e:
        print(f"Permission denied: {e.message}")
    else:
        raise AssertionError("written")

    try:
        client.tokens.query(query_vector=[0.1, 0.2])
    except ValidationError as e:
        print(f"Validation error: {e.message}")
        assert e.details["errors"][0]["field"] == "query_vector"
    else:
        raise AssertionError("accepted")

with NeuroGraphClient(base_url="http://localhost:8000", username="viewer", password="not-this") as client:
    try:
        client.tokens.list()
    except AuthenticationError as e:
        print(f"Authentication failed: {e.message}")
    else:
        raise AssertionError("let in")

try:
    NeuroGraphClient(base_url="http://127.0.0.1:9", api_key="ng_x", timeout=2).tokens.list()
except NeuroGraphError as e:
    assert isinstance(e, neurograph.ConnectionError)
    print(f"Error [{e.error_code}]: {e.message}")

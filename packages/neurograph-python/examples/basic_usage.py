"""Tokens, queries, API keys and errors with the synchronous client.

Run a server first (`vectrograph serve --data ./data`), then this file. Another address goes into NEUROGRAPH_BASE_URL.
"""

from neurograph import NeuroGraphClient, NotFoundError, ValidationError

USERNAME, PASSWORD = "developer", "developer123"


def tokens(client: NeuroGraphClient) -> None:
    """Create, find, change and remove tokens."""
    created = client.tokens.create_many(
        ["read a file line by line", "write a file", {"text": "sort a list", "metadata": {"topic": "sorting"}}]
    )
    print("created", [token.id for token in created])

    [question] = client.embeddings.create(["How do I open a file for reading?"])
    for hit in client.tokens.query(query_vector=question, top_k=2):
        print(f"{hit.similarity:.3f}  {hit.token.text}")

    changed = client.tokens.update(created[2].id, text="sort a list of numbers")
    print("changed to", changed.text, changed.metadata)

    page = client.tokens.list(limit=2)
    print("tokens on this page:", len(page), "of", page.total)

    for token in created:
        client.tokens.delete(token.id)


def api_keys(client: NeuroGraphClient) -> None:
    """Make a key that can only read, use it, and revoke it."""
    created = client.api_keys.create(name="reader", scopes=["tokens:read"], expires_in_days=30)
    print("save this key now, it is not shown again:", created.api_key[:10] + "…")
    with NeuroGraphClient(client.base_url, api_key=created.api_key) as reader:
        print("read with the key:", len(reader.tokens.list(limit=1)))
    client.api_keys.revoke(created.key_id)
    client.api_keys.delete(created.key_id)


def errors(client: NeuroGraphClient) -> None:
    """Show how precisely errors are told."""
    try:
        client.tokens.get(999_999)
    except NotFoundError as error:
        print("not found:", error.message)
    try:
        client.tokens.create(text="")
    except ValidationError as error:
        print("refused:", error.details["errors"][0]["field"])


def main() -> None:
    """Do all of it."""
    with NeuroGraphClient(username=USERNAME, password=PASSWORD) as client:
        health = client.health.check()
        print(f"{client.base_url} is {health.status}, version {health.version}")
        tokens(client)
        api_keys(client)
        errors(client)


if __name__ == "__main__":
    main()

"""Every token call: create, get, list, update, delete, query with a threshold."""

from neurograph import NeuroGraphClient, NotFoundError, Token

with NeuroGraphClient(
    base_url="http://localhost:8000",
    username="developer",
    password="developer123",
    api_key=None,
    timeout=30.0,
    verify_ssl=True,
) as client:
    token = client.tokens.create(text="hello world", metadata={"category": "greeting"})
    assert isinstance(token, Token)
    assert client.tokens.get(token_id=token.id) == token

    tokens = client.tokens.list(limit=100, offset=0)
    assert [t.id for t in tokens] == [token.id]
    assert len(tokens) == 1

    updated = client.tokens.update(token_id=token.id, text="new text", metadata={"updated": True})
    assert (updated.text, updated.metadata) == ("new text", {"updated": True})
    assert updated.embedding != token.embedding

    results = client.tokens.query(query_vector=updated.embedding, top_k=10, threshold=0.8)
    for result in results:
        print(f"Token {result.token.id}: {result.similarity:.4f}")
    assert all(result.similarity >= 0.8 for result in results)

    client.tokens.delete(token_id=token.id)
    try:
        client.tokens.get(token_id=token.id)
    except NotFoundError as error:
        assert error.status_code == 404
    else:
        raise AssertionError("deleted, yet found")

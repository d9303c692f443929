"""First steps, synchronous: log in with a password, create, query, close."""

from neurograph import NeuroGraphClient

client = NeuroGraphClient(base_url="http://localhost:8000", username="developer", password="developer123")

token = client.tokens.create(text="hello world")
print(f"Token ID: {token.id}")
print(f"Embedding: {token.embedding[:5]}...")

results = client.tokens.query(query_vector=token.embedding, top_k=10)
for result in results:
    print(f"{result.token.text}: {result.similarity:.4f}")
assert results[0].token.id == token.id
assert results[0].similarity > 0.99

client.close()

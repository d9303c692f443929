"""Four tokens, what is similar to the first, and a clean-up."""

from neurograph import NeuroGraphClient

client = NeuroGraphClient(base_url="http://localhost:8000", username="developer", password="developer123")

tokens = []
for text in ["hello", "world", "python", "neurograph"]:
    token = client.tokens.create(text=text)
    tokens.append(token)
    print(f"Created: {token.text}")

results = client.tokens.query(query_vector=tokens[0].embedding, top_k=3)
print("\nSimilar to 'hello':")
for result in results:
    print(f"  {result.token.text}: {result.similarity:.4f}")
assert next(result.token.text for result in results) == "hello"
assert len(results) == 3

for token in tokens:
    client.tokens.delete(token.id)
assert client.tokens.list() == []
client.close()

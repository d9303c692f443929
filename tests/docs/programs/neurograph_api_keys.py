"""API keys: created once with their secret, listed without it, used, revoked, deleted."""

from neurograph import APIKey, AuthenticationError, NeuroGraphClient

client = NeuroGraphClient(base_url="http://localhost:8000", username="developer", password="developer123")
created = client.api_keys.create(name="My Integration", scopes=["tokens:read", "tokens:write"], expires_in_days=30)
assert created.api_key.startswith("ng_")
assert created.api_key not in repr(created)

keys = client.api_keys.list()
for key in keys:
    print(f"{key.name}: {key.key_prefix}...")
key = client.api_keys.get(key_id=created.key_id)
assert isinstance(key, APIKey)
assert key.is_active
assert key.expires_at is not None
assert created.api_key.startswith(key.key_prefix)

with NeuroGraphClient(base_url="http://localhost:8000", api_key=created.api_key) as integration:
    integration.tokens.create(text="written with a key")
    client.api_keys.revoke(key_id=created.key_id)
    assert not client.api_keys.get(key_id=created.key_id).is_active
    try:
        integration.tokens.list()
    except AuthenticationError as error:
        print(f"Revoked: {error.error_code}")
    else:
        raise AssertionError("a revoked key works")

client.api_keys.delete(key_id=created.key_id)
assert created.key_id not in [key.key_id for key in client.api_keys.list()]
client.close()

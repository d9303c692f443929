"""Health and status."""

from neurograph import NeuroGraphClient

with NeuroGraphClient(base_url="http://localhost:8000", username="viewer", password="viewer123") as client:
    health = client.health.check()
    print(f"Status: {health.status}")
    print(f"Version: {health.version}")
    assert health.status == "healthy"

    status = client.health.status()
    print(f"API Version: {status.api_version}")
    print(f"Tokens Count: {status.tokens_count}")
    print(f"Uptime: {status.uptime_seconds}s")
    print(f"Memory: {status.memory_usage_mb}MB")
    assert status.tokens_count == 0
    assert status.memory_usage_mb is not None
assert status.memory_usage_mb > 1

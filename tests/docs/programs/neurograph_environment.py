"""Configuration by environment alone."""

import os

from neurograph import NeuroGraphClient

os.environ["NEUROGRAPH_BASE_URL"] = "http://localhost:8000"
os.environ["NEUROGRAPH_USERNAME"] = "developer"
os.environ["NEUROGRAPH_PASSWORD"] = "developer123"
try:
    with NeuroGraphClient() as client:
        assert client.tokens.list() == []
    del os.environ["NEUROGRAPH_USERNAME"], os.environ["NEUROGRAPH_PASSWORD"]
    os.environ["NEUROGRAPH_API_KEY"] = "ng_your_api_key_here"
    with NeuroGraphClient() as client:
        assert client.tokens.list() == []
finally:
    for name in ("BASE_URL", "USERNAME", "PASSWORD", "API_KEY"):
        os.environ.pop(f"NEUROGRAPH_{name}", None)

"""Vectron's HTTP gateway: `/v1/…` in the JSON of protocol buffers, with errors in the gateway's own shape."""

"""ASGI middleware, outermost first as `http_app` stacks it."""

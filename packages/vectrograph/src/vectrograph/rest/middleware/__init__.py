"""What every request passes through: plain ASGI applications, one concern each, nested as `rest.app` says."""

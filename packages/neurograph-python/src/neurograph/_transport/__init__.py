"""HTTP and its sockets: the only modules that import httpx2 and httpcore2."""

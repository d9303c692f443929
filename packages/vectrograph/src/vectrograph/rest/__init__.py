"""NeuroGraph's REST API: HTTP in, use cases of `services` inside, JSON out. Knows no engine and no gRPC."""

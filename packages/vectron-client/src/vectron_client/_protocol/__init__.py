"""The Vectron gRPC API without I/O: checked arguments, encoded requests, and the way responses are read."""

"""The NeuroGraph REST API without I/O: requests of every operation, and the way their responses are read."""

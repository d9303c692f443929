"""Cost and delay of live events, for writers, readers and the server."""

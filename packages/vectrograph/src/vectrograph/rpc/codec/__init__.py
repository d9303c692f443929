"""The protobuf codec: bytes of a message to what an operation reads, and what it returns to bytes."""

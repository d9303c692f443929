"""Payloads by column, in memory: what filters are evaluated over instead of decoding every payload each time."""

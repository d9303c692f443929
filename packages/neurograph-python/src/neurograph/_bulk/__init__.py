"""Loads of many tokens: reading items, cutting them into batches, sending those, and remembering what was sent."""

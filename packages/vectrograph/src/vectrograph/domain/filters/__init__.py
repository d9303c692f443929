"""Filters over payloads: nodes, meaning, JSON form, size."""

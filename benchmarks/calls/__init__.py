"""Counting what one request costs the server in calls of its own functions."""

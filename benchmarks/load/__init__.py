"""Goodput under four times the load that can be answered: `make bench-load`."""

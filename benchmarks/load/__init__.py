"""What becomes of the work when four times as much is asked for as can be done: `make bench-load`."""

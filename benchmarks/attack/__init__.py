"""What other callers notice of an attack: `make bench-attack`. The tests in tests/security send the same bytes."""

"""The effect of an attack on other callers: `make bench-attack`. The tests in tests/security send the same bytes."""

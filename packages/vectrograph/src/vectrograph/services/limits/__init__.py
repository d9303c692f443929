"""Limits of what callers may ask for and spend."""

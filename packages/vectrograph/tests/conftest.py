"""Fixtures of more than one folder."""

from postgresql_server import postgresql

__all__ = ["postgresql"]

"""The version of this distribution, written once."""

__version__ = "0.60.0.dev0"

"""Connections to a server: the only modules that know gRPC."""

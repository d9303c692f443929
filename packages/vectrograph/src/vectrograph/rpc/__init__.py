"""Vectron's gRPC API: raw bytes in, credentials checked before anything is parsed, domain errors out as statuses."""

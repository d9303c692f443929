"""Answering searches and reads: planning, filters, ranking."""

"""Points: collections, upserts, searches, filters, tokens, feedback."""

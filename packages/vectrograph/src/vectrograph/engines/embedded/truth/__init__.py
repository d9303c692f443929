"""SQLite, the only truth about a collection: schema, batches, records, log checks and salvage."""

"""Rows in memory: the immutable views that readers see, vectors, derived files, compaction and the memory budget."""

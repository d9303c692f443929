"""The embedded engine beside zvec, qdrant-edge, lancedb, chroma and bare faiss."""

"""Text to vector: providers behind `domain.embedder.Embedder`."""

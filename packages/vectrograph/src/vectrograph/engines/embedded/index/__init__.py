"""The index of a collection: a faiss graph, published by copy, extend and swap, and always refined exactly."""

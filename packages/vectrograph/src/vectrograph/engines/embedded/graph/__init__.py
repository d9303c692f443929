"""The faiss graph of a collection: derived from SQLite, published by copy, extend, swap, and always refined exactly."""

"""This server beside the Chroma server, each through its own client, and beside bare handlers, in one run."""

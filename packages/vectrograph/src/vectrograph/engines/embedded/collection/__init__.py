"""Collections: opening, writing, maintaining and verifying one, and the catalog of all."""

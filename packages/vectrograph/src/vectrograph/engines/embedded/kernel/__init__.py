"""The native index kernel: its library, the arrays it works on, linking and search."""

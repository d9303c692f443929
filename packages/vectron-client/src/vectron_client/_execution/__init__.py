"""Run a call to its result without I/O: deadlines, repeats, hedged reads."""

"""Benches of this project: each measures against real peers, side by side in one run."""

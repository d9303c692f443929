"""Run calls: login, repeats, time limits, and what is counted and logged on the way."""

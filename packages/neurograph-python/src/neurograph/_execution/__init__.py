"""Run calls: login, repeats, time limits, locks, and what a fork or a copy must not share."""

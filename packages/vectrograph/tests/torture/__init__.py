"""Proofs that the embedded engine loses nothing: kill -9, power loss, flipped bytes.

`story` says what happens to a database, step by step; `oracle` compares what is left of it with the reference engine.
`seam` sees every call that changes a file; on it stand `disk` and `power_loss` (a disk that forgets what was not
synced) and `fault_points` (a process that dies at a chosen call). `kills` starts such processes and looks at what they
left. `damage` spoils bytes. `python -m torture` runs all of it for long.
"""

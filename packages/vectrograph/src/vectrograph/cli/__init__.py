"""The command `vectrograph`: serve, administer accounts, look after a data directory."""

import gc

# What importing makes stays to the end. Going through it again and again took an eighth of the start.
_collecting = gc.isenabled()
gc.disable()
try:
    from vectrograph.cli.commands import app as app
    from vectrograph.cli.commands import main as main
finally:
    if _collecting:
        gc.enable()

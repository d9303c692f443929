"""The command `vectrograph`: serve, administer accounts, look after a data directory."""

from vectrograph.cli.commands import app as app
from vectrograph.cli.commands import main as main

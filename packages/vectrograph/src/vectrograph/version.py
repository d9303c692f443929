"""The version of this distribution."""

from importlib.metadata import version
from typing import Final

VERSION: Final = version("vectrograph")

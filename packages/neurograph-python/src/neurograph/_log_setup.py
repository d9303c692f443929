"""Show what the client logs; under the names of the official package.

The library writes to the logger `neurograph` and never sets up logging by itself. A program with a logging set-up of
its own needs none of this.
"""

import logging

_NAME = "neurograph"
_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


def get_logger(name: str | None = None) -> logging.Logger:
    """Return the logger of the library, or one below it.

    >>> get_logger().name, get_logger("loader").name
    ('neurograph', 'neurograph.loader')
    """
    if name is None or name == _NAME or name.startswith(f"{_NAME}."):
        return logging.getLogger(name or _NAME)
    return logging.getLogger(f"{_NAME}.{name}")


def setup_logging(
    level: int | str = logging.WARNING, format_string: str | None = None, handler: logging.Handler | None = None
) -> logging.Logger:
    """Show the lines of the library from this level up, and return its logger.

    A second call changes what the first one set up; handlers of your own stay.

    Args:
        level: of `logging`, as a number or a name.
        format_string: of a line.
        handler: where lines go; standard error when absent.

    >>> import logging
    >>> setup_logging("info").level == logging.INFO
    True
    """
    logger = logging.getLogger(_NAME)
    for earlier in [each for each in logger.handlers if getattr(each, "neurograph_setup", False)]:
        logger.removeHandler(earlier)
    chosen = logging.StreamHandler() if handler is None else handler
    if handler is None or format_string is not None:
        chosen.setFormatter(logging.Formatter(format_string or _FORMAT))
    vars(chosen)["neurograph_setup"] = True
    logger.addHandler(chosen)
    logger.setLevel(level.upper() if isinstance(level, str) else level)
    return logger


def enable_debug_logging() -> logging.Logger:
    """Show every line of the library: requests, statuses and repeats, without a credential.

    >>> import logging
    >>> enable_debug_logging().level == logging.DEBUG
    True
    """
    return setup_logging(logging.DEBUG)


for _function in (get_logger, setup_logging, enable_debug_logging):
    _function.__module__ = "neurograph"  # where users find it

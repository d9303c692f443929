"""Objects that hold connections and a login, and so have no copies."""

from typing import Any, NoReturn, TypeVar

from neurograph.exceptions import ConfigurationError

T = TypeVar("T")


class Uncopied:
    """Base of what can be neither pickled nor copied."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise ConfigurationError(
            f"{type(self).__name__} holds connections and a login, and cannot be pickled or copied. Make a client in "
            "each process, pass its arguments around instead, or call with_options() for another with other options",
            request_sent=False,
        )


def twin(thing: T) -> T:
    """Return another object with the same attributes, without a look at `__reduce_ex__`; for the library's own use."""
    other = object.__new__(type(thing))
    vars(other).update(vars(thing))
    return other

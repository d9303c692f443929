"""Base of objects that hold a connection and a credential, and so have no copies."""

from typing import Any, NoReturn, TypeVar

from vectron_client.exceptions import FailedPreconditionError

T = TypeVar("T")


class Uncopied:
    """Base of what can be neither pickled nor copied."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise FailedPreconditionError(
            f"{type(self).__name__} holds a connection and a credential, and cannot be pickled or copied; make a "
            "client in each process from the same arguments, or call with_options() for one with other options"
        )


def twin(thing: T) -> T:
    """Return another object with the same attributes; for the library's own use."""
    other = object.__new__(type(thing))
    vars(other).update(vars(thing))
    return other

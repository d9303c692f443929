"""Settings of every test in the repository."""

from hypothesis import settings

# Speed is for benchmarks: no example fails for being slow on a busy machine. A failure prints how to repeat it.
settings.register_profile("vectrograph", deadline=None, print_blob=True)
settings.load_profile("vectrograph")

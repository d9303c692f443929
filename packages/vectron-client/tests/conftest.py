"""Settings of the tests of this client, the same from its folder and from the whole repository."""

from hypothesis import settings

# Speed is for benchmarks: no example fails for being slow on a busy machine. A failure prints how to repeat it.
settings.register_profile("vectron_client", deadline=None, print_blob=True)
settings.load_profile("vectron_client")

"""Import gRPC so that it writes no lines of its own to stderr.

Its C++ core reports failed TLS handshakes and lost connections there, although each is an exception as well. It reads
the variable GRPC_VERBOSITY once, when it is imported. Whoever has set that variable or GRPC_TRACE, or has imported
gRPC before, keeps what was chosen.
"""

import os
import sys

__all__ = ["aio", "grpc"]

_quiet = "grpc" not in sys.modules and not {"GRPC_VERBOSITY", "GRPC_TRACE"} & os.environ.keys()
if _quiet:
    os.environ["GRPC_VERBOSITY"] = "NONE"
try:
    import grpc
    import grpc.aio as aio
finally:
    if _quiet:
        del os.environ["GRPC_VERBOSITY"]  # child processes decide for themselves

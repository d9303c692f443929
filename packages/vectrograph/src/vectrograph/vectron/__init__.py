"""The operations of Vectron's contract, each written once for gRPC and for the HTTP gateway.

The path of a request:

1. The transport (`vectrograph.rpc`, `vectrograph.gateway`) finds the procedure in `procedures.PROCEDURES`,
   authenticates the caller and asks for the rights that the procedure names.
2. Its codec reads the message: over gRPC as a protobuf message, where vectors stay bytes; over HTTP as a struct of
   `_messages`, which `tools/protostructs.py` generates from the same contract. Both have the same attributes, so that
   an operation reads either. Vectors come beside the message (`vectors`), because each wire has a fast way of its own.
3. The operation (`accounts`, `collections`, `points`, `feedback`) holds every rule: defaults, limits, filters, parts of
   a point, conditions, repeats. It asks the services and returns a struct of `_messages`, or for points and hits the
   values of the domain, which are too many to become a message each.
4. The codec writes the answer: a struct field by field, points and hits by hand (`rpc.fragments`, `gateway.hits`).

Errors are domain errors on both wires; `codes` has gRPC's number for each. Nothing here knows a transport.
"""

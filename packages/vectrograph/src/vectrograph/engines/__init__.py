"""Storage engines behind one protocol. `base` is the contract, `contract` its conformance suite."""

# Generated from packages/wirekit/src/wirekit/__init__.py by tools/private_copies.py; do not edit.
# SPDX-License-Identifier: Apache-2.0
"""Retry, deadlines, paging, batching and vectors for network clients: pure functions and generators.

Standard library only, no threads, and no I/O but one: `options.file` looks whether a file can be read.

The modules:
    deadline: a point in time by which a call must be over.
    retry: whether to try again, and after which pause.
    retry_after: what a server said about when to come back.
    flow: how logic without I/O asks its shell to send and to sleep, and the two drivers that do it.
    call: one call from its first attempt to its answer or to giving up.
    batching: a stream of items cut by count and bytes.
    paging: a walk over all pages of a list that is safe against concurrent deletes.
    values: checks of text, numbers, times and JSON values, the same in every client.
    vectors: any vector to float32 bytes or to floats, and back.
    options: the options of a client, each checked once.
    secrets: credentials, kept out of messages.
"""

"""What a server said before it hung up on us.

A server that has enough of a message says why, closes, and drops what we still send; then writing fails, perhaps before its reply was read.
The reply is what counts: with it a message returns or waits for a reason, without it nobody knows.  So whatever lies in the socket is read
before a failed write ends the connection.

Source: RFC 5321 section 4.2 (a server may reply at any time with 421), and what servers do with messages that they find too large.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import main

READS = 4  #: far more than any reply


def read_before_failing(transport: Any) -> None:
    """Have a stream transport read to the end before it reports that it cannot write."""
    write = transport.doWrite

    def do_write() -> Any:
        failed = write()
        if failed is main.CONNECTION_LOST:
            for _ in range(READS):
                if transport.doRead() is not None:
                    break
        return failed

    transport.doWrite = do_write

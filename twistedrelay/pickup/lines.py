"""Text as programs write it, made into the lines of mail: CRLF alone ends one.

Decides that a bare CR or LF is a line end, and that there is no NUL in mail (RFC 5322 sections 2.1.1 and 4).
"""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")


class LetterError(Exception):
    """A file is no message that can be sent; C{str()} says why."""


class Lines:
    """Takes text in pieces.

    @ivar eight_bit: there were octets beyond ASCII.
    """

    def __init__(self) -> None:
        self.eight_bit = False
        self._carry = b""
        self._ended = True

    def feed(self, piece: bytes) -> bytes:
        """The lines of another piece, as far as they are known.

        @raise LetterError: there is a NUL in it.
        """
        piece = self._carry + piece
        self._carry = b""
        if piece.endswith(b"\r"):  # perhaps half of a line end
            piece, self._carry = piece[:-1], b"\r"
        if not piece:
            return b""
        if b"\0" in piece:
            raise LetterError("there is a NUL in it")
        if not piece.isascii():
            self.eight_bit = True
        whole = piece.count(b"\r\n")
        if not piece.count(b"\n") == piece.count(b"\r") == whole:
            piece = _LINE_END.sub(b"\r\n", piece)
        self._ended = piece.endswith(b"\r\n")
        return piece

    def end(self) -> bytes:
        """What is left: the last line end, where it is missing."""
        if self._carry or not self._ended:
            self._carry, self._ended = b"", True
            return b"\r\n"
        return b""

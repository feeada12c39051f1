"""A header section taken apart into its fields, octet by octet.

It decides where a field begins and ends: at any line end, also a bare CR or LF, because somebody behind us may take that for one; lines
that begin with a blank belong to the field before.  Nothing is decoded, and the fields joined are the section again.

Source: RFC 5322 sections 2.2, 2.2.3 (folding) and 4.5 (blanks in front of the colon).
"""

from __future__ import annotations

import re

_FIELD = re.compile(rb"[^\r\n]*(?:(?:\r\n|[\r\n])[ \t][^\r\n]*)*(?:\r\n|[\r\n])?")


def split_fields(section: bytes) -> list[bytes]:
    """Each field with its folds and line end; a line that is no field counts as one."""
    return [field for field in _FIELD.findall(section) if field]


def field_name(field: bytes) -> bytes:
    """The name of a field in lower case, without the NULs that somebody behind us may drop; the whole line where there is no colon."""
    return field.partition(b":")[0].translate(None, b"\0").rstrip(b" \t\r\n").lower()


def unfolded(field: bytes) -> bytes:
    """What stands behind the colon, on one line."""
    return field.partition(b":")[2].replace(b"\r", b"").replace(b"\n", b"").strip(b" \t")

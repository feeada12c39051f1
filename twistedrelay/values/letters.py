"""Texts searched as people write them: without case, also that of Turkish.

It decides when two texts are the same for a search.  What has to be exact (addresses, names) is compared elsewhere.
Source: Unicode, CaseFolding.txt, whose rules marked C{T} are here for all: whoever looks for C{istanbul} means C{İSTANBUL}, too.
"""

from __future__ import annotations


def searched(text: str) -> str:
    """A text without case; C{I}, C{İ}, C{i} and C{ı} are one letter."""
    return text.casefold().replace("i\u0307", "i").replace("\u0131", "i")

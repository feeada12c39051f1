"""Exchange's value syntaxes: durations, sizes, C{unlimited}, bindings, ranges, next hops, address spaces.

Each type is an C{Annotated} for pydantic with a parser that raises L{ValueError} saying what is allowed.
"""

from __future__ import annotations

from typing import Annotated, Any

import attrs
from pydantic import BeforeValidator

from twistedrelay.values.netrange import IPRange


@attrs.frozen(slots=True)
class BindingValue:
    """C{0.0.0.0:25} or C{[::]:25}."""

    host: str
    port: int


@attrs.frozen(slots=True)
class NextHopValue:
    """A next hop or smart host.

    @ivar kind: C{"smtp"}, C{"lmtp"} or C{"maildir"}.
    @ivar host: name or address without brackets (C{smtp}, C{lmtp} over TCP), else C{""}.
    @ivar port: 25 where none was given (24 for C{lmtp:}).
    @ivar path: the socket of C{lmtp:unix:/path} or the directory of C{maildir:/path}, else C{""}.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""


def duration(value: Any) -> float:
    raise ValueError("later")


def size(value: Any) -> int:
    raise ValueError("later")


def unlimited(value: Any) -> int | None:
    raise ValueError("later")


def binding(value: Any) -> BindingValue:
    raise ValueError("later")


def ip_range(value: Any) -> IPRange:
    raise ValueError("later")


def next_hop(value: Any) -> NextHopValue:
    raise ValueError("later")


Duration = Annotated[float, BeforeValidator(duration)]  #: seconds
Size = Annotated[int, BeforeValidator(size)]  #: octets
Unlimited = Annotated[int | None, BeforeValidator(unlimited)]  #: None is unlimited
Binding = Annotated[BindingValue, BeforeValidator(binding)]
Range = Annotated[IPRange, BeforeValidator(ip_range)]
NextHop = Annotated[NextHopValue, BeforeValidator(next_hop)]

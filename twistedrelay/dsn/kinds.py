"""The kinds of report that there are.

Source: RFC 3464 section 2.3.3 (actions), RFC 3461 section 4.1 (NOTIFY).
"""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True)
class Kind:
    """A kind of report.

    @ivar action: of each of its recipients, and the name of its words.
    @ivar notify: the keyword of NOTIFY that asks for it, C{""} where it is only made when it was asked for.
    """

    action: str
    notify: str


FAILED = Kind("failed", "FAILURE")
DELAYED = Kind("delayed", "DELAY")
RELAYED = Kind("relayed", "")
DELIVERED = Kind("delivered", "")

KINDS = (FAILED, DELAYED, RELAYED, DELIVERED)

"""Which recipients are return paths that this relay made by SRS, and who is meant by them.

A recipient in an C{srs_domain} that looks like an SRS address is either one that we made, not too old, or nobody: it is never relayed
anywhere else.  Other recipients in that domain are as they would be without SRS.

Source: L{twistedrelay.values.srs}; RFC 5321 section 3.9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twistedrelay.config.schema import Config
from twistedrelay.values.address import Address, parse_address
from twistedrelay.values.srs import SRS, SRSError, is_srs


class ReturnPaths:
    """The SRS addresses of one configuration.

    @ivar domains: where they are.
    """

    __slots__ = ("_clock", "_srs", "domains")

    def __init__(self, config: Config, secrets: Sequence[bytes] = (), clock: Callable[[], float] = time.time) -> None:
        names = {connector.srs_domain for connector in config.send_connectors.values() if connector.srs_domain and secrets}
        self.domains = frozenset(parse_address(f"postmaster@{name}", utf8=True).domain for name in names)
        self._srs = SRS(tuple(secrets))
        self._clock = clock

    def claims(self, recipient: Address) -> bool:
        """Whether a recipient is one of ours or nobody's."""
        return recipient.domain in self.domains and is_srs(recipient)

    def inside(self, recipient: Address) -> Address | None:
        """Whom one of ours is for; None where it is nobody's."""
        try:
            return self._srs.decode(recipient, self._clock())
        except SRSError:
            return None

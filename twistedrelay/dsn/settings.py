"""What the configuration says about reports.

A sender in an accepted domain is internal, all others are external; each side has its own switch for delay notices, its own bound for the
original that comes back, and its own language for those who show none.

Sources: Set-TransportConfig (ExternalDsn..., InternalDsn..., ExternalDelayDsnEnabled, GenerateCopyOfDSNFor), New-SystemMessage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import attrs

from twistedrelay.dsn.wording import OwnText, Wording, language
from twistedrelay.values.address import Address
from twistedrelay.values.languages import SHIPPED


@attrs.frozen(slots=True)
class Side:
    """How reports to internal or to external senders are.

    @ivar delay_notices: whether there are any that nobody was promised.
    @ivar attach_limit: octets of an original that comes back whole.
    @ivar language: where the sender shows none that we have.
    """

    delay_notices: bool = True
    attach_limit: int = 10 * 1024 * 1024
    language: str = "en"


class TransportKeys(Protocol):
    """The keys of C{transport} that are about reports (L{twistedrelay.config.schema.Transport})."""

    @property
    def external_delay_dsn_enabled(self) -> bool: ...

    @property
    def internal_delay_dsn_enabled(self) -> bool: ...

    @property
    def external_dsn_max_message_attach_size(self) -> int: ...

    @property
    def internal_dsn_max_message_attach_size(self) -> int: ...

    @property
    def external_dsn_default_language(self) -> str: ...

    @property
    def internal_dsn_default_language(self) -> str: ...

    @property
    def generate_copy_of_dsn_for(self) -> Sequence[str]: ...


def _nobody(address: Address) -> bool:
    return False


def _the_same(address: Address) -> Address:
    return address


@attrs.frozen(slots=True)
class ReportSettings:
    """All of it.

    @ivar copies: the enhanced status codes of failures that postmaster gets a copy of.
    @ivar is_internal: whether an address is in an accepted domain.
    @ivar resolve: who is meant by an address of ours: inside an SRS address is somebody else.
    """

    internal: Side = Side()
    external: Side = Side()
    copies: frozenset[str] = frozenset()
    wording: Wording = attrs.Factory(Wording)
    is_internal: Callable[[Address], bool] = _nobody
    resolve: Callable[[Address], Address] = _the_same

    @classmethod
    def of(
        cls,
        keys: TransportKeys,
        texts: Iterable[OwnText],
        is_internal: Callable[[Address], bool],
        resolve: Callable[[Address], Address],
    ) -> ReportSettings:
        """Those of a configuration.  Reads the languages: no report waits for the disk later."""
        for tag in SHIPPED:
            language(tag)
        return cls(
            Side(keys.internal_delay_dsn_enabled, keys.internal_dsn_max_message_attach_size, keys.internal_dsn_default_language),
            Side(keys.external_delay_dsn_enabled, keys.external_dsn_max_message_attach_size, keys.external_dsn_default_language),
            frozenset(keys.generate_copy_of_dsn_for),
            Wording(tuple(texts)),
            is_internal,
            resolve,
        )

    def side(self, sender: Address) -> Side:
        """The side that a sender is on."""
        return self.internal if self.is_internal(sender) else self.external

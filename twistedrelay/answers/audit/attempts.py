"""The classical tries to have mail relayed, and what an answer to one means.

It decides what is tried, never how.  A recipient elsewhere that is accepted is relaying.  One that has our own domain behind it is only a
trap for the next hop, which must not take it apart.

Sources: RFC 5321 sections 3.6 and appendix C (source routes), RFC 1123 section 5.2.16 (the percent hack), RFC 5321 section 7.1.
"""

from __future__ import annotations

import attrs

from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import Config

_ELSEWHERE = ("example.org", "example.net", "example.com")


@attrs.frozen(slots=True)
class Attempt:
    """One try.

    @ivar sender: without brackets; likewise C{recipient}.
    @ivar direct: accepting it is relaying.
    """

    what: str
    sender: str
    recipient: str
    direct: bool = True


@attrs.frozen(slots=True)
class Outcome:
    """What came of it.

    @ivar reply: the last one, C{""} where there was none in time.
    @ivar accepted: whether RCPT was answered 2xx.
    """

    attempt: Attempt
    reply: str
    accepted: bool = False

    @property
    def refused(self) -> bool:
        """Whether the relay has said no.  Not now (4xx), and nothing at all, is no answer: it may say yes another time."""
        return not self.accepted and self.reply.startswith("5")


def attempts(config: Config, local: str) -> list[Attempt]:
    """What is tried at a local address."""
    accepted = DomainIndex(config.accepted_domains)
    away = next((domain for domain in _ELSEWHERE if accepted.find(domain) is None), "relay-test.invalid")
    ours = next((domain for domain in config.accepted_domains if not domain.startswith("*.")), config.server.fqdn)
    literal = f"[IPv6:{local}]" if ":" in local else f"[{local}]"
    stranger, victim = f"relay-test@{away}", f"nobody@{away}"
    return [
        Attempt("another domain", stranger, victim),
        Attempt("another domain, from the null sender", "", victim),
        Attempt("another domain, from our own postmaster", f"postmaster@{ours}", victim),
        Attempt("another domain, from localhost", "relay-test@localhost", victim),
        Attempt("another domain, from our address literal", f"relay-test@{literal}", victim),
        Attempt("an address literal", stranger, "nobody@[198.51.100.1]"),
        Attempt("a source route by our domain", stranger, f"@{ours}:{victim}"),
        Attempt("a source route by our address literal", stranger, f"@{literal}:{victim}"),
        Attempt("two at signs", stranger, f"{victim}@{ours}", direct=False),
        Attempt("a quoted local part with a domain", stranger, f'"{victim}"@{ours}', direct=False),
        Attempt("a quoted local part alone", stranger, f'"{victim}"', direct=False),
        Attempt("the percent hack", stranger, f"nobody%{away}@{ours}", direct=False),
        Attempt("the percent hack with our address literal", stranger, f"nobody%{away}@{literal}", direct=False),
        Attempt("the percent hack without a domain", stranger, f"nobody%{away}", direct=False),
        Attempt("a bang path", stranger, f"{away}!nobody@{ours}", direct=False),
    ]

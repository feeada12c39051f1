"""What a server can do, and what a client says of a message to it.

Decides which parameters go with MAIL and RCPT: only those that the server offers and the message has, encoded as the RFCs want them.  What
may not be lost for want of an extension is refused in L{twistedrelay.wire.client_transactions}.

HOLDFOR and HOLDUNTIL are never said: the message was held here.  AUTH goes only to a server that this session logged in to.  ORCPT goes on
as it came; where a sender asked for reports and gave none, it is the recipient's address.

Sources: RFC 1870 (SIZE), RFC 6152 and RFC 3030 (BODY), RFC 6531 (SMTPUTF8), RFC 3461 sections 4 and 5.2.1 and RFC 6533 section 3 (DSN),
RFC 8689 (REQUIRETLS), RFC 2852 section 4 (BY), RFC 6710 (MT-PRIORITY), RFC 4954 section 5 (AUTH), RFC 9422 (LIMITS).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from twistedrelay.values import xtext
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, DeliverBy, MailParameters, RcptParameters

#: Octets of an encoded value; a longer one is left out (RFC 3461 sections 4.2 and 4.4, RFC 4954 section 5).
ENVID_LIMIT = 100
ORCPT_LIMIT = 500
AUTH_LIMIT = 500
BY_LIMIT = 999_999_999  #: seconds, nine digits (RFC 2852 section 4)

_FAILURE = frozenset(("FAILURE",))
_DELAY = frozenset(("DELAY",))


def original_recipient(address: str) -> str:
    """An address as a value of ORCPT: type C{rfc822}, or C{utf-8} in its form of ASCII."""
    if address.isascii():
        return f"rfc822;{xtext.encode(address)}"
    return f"utf-8;{xtext.encode_utf8_address(address)}"


def _number(text: str) -> int:
    """The number a keyword came with, 0 where there is none."""
    stripped = text.strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 20 else 0


def _limits(text: str) -> dict[str, int]:
    """What LIMITS says: name=value, those that we do not know among them (RFC 9422 section 3)."""
    pairs = (word.partition("=") for word in text.split())
    return {name: _number(value) for name, _, value in pairs}


@attrs.frozen(slots=True)
class Offers:
    """The extensions of a server.

    @ivar size_limit: octets of a message, 0 where none is said.
    @ivar chunking: CHUNKING, where it is to be used.
    @ivar binary: BINARYMIME with the CHUNKING that it needs.
    @ivar enhanced: ENHANCEDSTATUSCODES.
    @ivar by_least: the least by-time it takes in mode R, 0 where none is said.
    @ivar recipients_most: how many recipients it takes in a transaction (RCPTMAX), 0 where it does not say.
    @ivar transactions_most: how many transactions it takes in a session (MAILMAX), likewise.
    @ivar domains_most: how many domains of recipients it takes in a session (RCPTDOMAINMAX), likewise.
    """

    pipelining: bool = False
    size: bool = False
    size_limit: int = 0
    eight_bit: bool = False
    chunking: bool = False
    binary: bool = False
    enhanced: bool = False
    utf8: bool = False
    dsn: bool = False
    require_tls: bool = False
    deliver_by: bool = False
    by_least: int = 0
    priority: bool = False
    recipients_most: int = 0
    transactions_most: int = 0
    domains_most: int = 0

    @classmethod
    def of(cls, features: Mapping[str, str], *, proven: bool = False, chunking: bool = True) -> Offers:
        """From the keywords of EHLO (upper case) and their parameters.

        @param proven: the session meets what RFC 8689 section 2 asks for; only then REQUIRETLS may be said.
        @param chunking: whether CHUNKING counts where it is offered.
        """
        chunking = chunking and "CHUNKING" in features
        limits = _limits(features["LIMITS"]) if "LIMITS" in features else {}
        return cls(
            pipelining="PIPELINING" in features,
            size="SIZE" in features,
            size_limit=_number(features.get("SIZE", "")),
            eight_bit="8BITMIME" in features,
            chunking=chunking,
            binary=chunking and "BINARYMIME" in features,
            enhanced="ENHANCEDSTATUSCODES" in features,
            utf8="SMTPUTF8" in features,
            dsn="DSN" in features,
            require_tls=proven and "REQUIRETLS" in features,
            deliver_by="DELIVERBY" in features,
            by_least=_number(features.get("DELIVERBY", "")),
            priority="MT-PRIORITY" in features,
            recipients_most=limits.get("RCPTMAX", 0),
            transactions_most=limits.get("MAILMAX", 0),
            domains_most=limits.get("RCPTDOMAINMAX", 0),
        )


NOTHING = Offers()


def mail_words(offers: Offers, mail: MailParameters, size: int, *, utf8: bool, logged_in: bool) -> str:
    """What follows the return path in MAIL, with a space in front of each parameter.

    @param size: octets of the content as it will be sent.
    @param utf8: an address needs SMTPUTF8, or the message was received so.
    @param logged_in: this session has logged in.
    """
    words = f" SIZE={size}" if offers.size else ""
    if mail.body == "BINARYMIME":
        words += " BODY=BINARYMIME"
    elif mail.body == "8BITMIME" and offers.eight_bit:
        words += " BODY=8BITMIME"
    if utf8 and offers.utf8:
        words += " SMTPUTF8"
    if mail is NO_MAIL_PARAMETERS:
        return words
    if offers.dsn:
        if mail.ret:
            words += f" RET={mail.ret}"
        if mail.envid and len(envid := xtext.encode(mail.envid)) <= ENVID_LIMIT:
            words += f" ENVID={envid}"
    if mail.require_tls and offers.require_tls:
        words += " REQUIRETLS"
    if mail.deliver_by is not None and offers.deliver_by:
        words += _by(mail.deliver_by)
    if mail.priority is not None and offers.priority:
        words += f" MT-PRIORITY={mail.priority}"
    if mail.auth and logged_in and len(mailbox := mail.auth if mail.auth == "<>" else xtext.encode(mail.auth)) <= AUTH_LIMIT:
        words += f" AUTH={mailbox}"
    return words


def _by(by: DeliverBy) -> str:
    seconds = max(-BY_LIMIT, min(by.seconds, BY_LIMIT))
    return f" BY={seconds};{by.mode}{'T' if by.trace else ''}"


def rcpt_words(offers: Offers, recipient: str, parameters: RcptParameters, by: DeliverBy | None = None) -> str:
    """What follows the forward path in RCPT, likewise.

    @param by: what is left of the by-time of the message.
    """
    if not offers.dsn:
        return ""
    notify = parameters.notify
    if by is not None and by.mode == "N" and by.seconds > 0 and not offers.deliver_by and "NEVER" not in notify:
        notify = (notify or _FAILURE) | _DELAY  # who does not know of the time shall at least tell of delays (RFC 2852 section 4.1.4.2)
    words = f" NOTIFY={','.join(sorted(notify))}" if notify else ""
    orcpt = xtext.embed_beyond_ascii(parameters.orcpt) or (original_recipient(recipient) if parameters.notify else "")
    return f"{words} ORCPT={orcpt}" if orcpt and len(orcpt) <= ORCPT_LIMIT else words

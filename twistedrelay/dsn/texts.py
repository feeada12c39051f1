"""What reports say to people: for each enhanced status code what happened, and what to do.

The sender of a message is rarely an administrator, so the words are plain; the exact replies follow below them in the report.

Source: RFC 3463 and the IANA registry of enhanced status codes for the meanings; the wording is ours.
"""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True)
class Explanation:
    """What happened to a message, and what its sender can do."""

    what: str
    advice: str


_NOT_FOUND = Explanation(
    "This address does not exist at the destination.", "Check the address for a typing error, or ask the recipient for the right one."
)
_NO_ROUTE = Explanation(
    "The part of the address behind the @ could not be found on the Internet.",
    "Check it for a typing error. If it is right, the recipient's organisation has to correct its DNS records.",
)
_LOOP = Explanation(
    "The message was passed on in a circle and was stopped.",
    "Forward this report to your administrator: two mail systems send the recipient's mail to each other.",
)
_DENIED = Explanation(
    "The recipient's mail system does not accept this message from you.",
    "Ask the recipient, in another way, whether your address may write to this one; give your administrator this report.",
)
_TOO_BIG = Explanation(
    "The message is too large for the recipient's mail system.", "Send it without large attachments, or share them in another way."
)
_UNREACHABLE = Explanation(
    "The recipient's mail system could not be reached or could not take the message.",
    "If this goes on, ask the recipient in another way, or give your administrator this report.",
)

_BY_CODE = {
    "1.0": _NOT_FOUND,
    "1.1": _NOT_FOUND,
    "1.2": _NO_ROUTE,
    "1.3": Explanation("The address is not written as an address must be.", "Check it for a typing error."),
    "1.6": Explanation("The recipient has moved and left no new address.", "Ask the recipient for the new address."),
    "1.7": Explanation("Your own address was not accepted.", "Check the sender address in your mail program."),
    "1.8": Explanation(
        "The domain of your own address could not be verified.",
        "Check the sender address in your mail program; give your administrator this report.",
    ),
    "1.10": Explanation("The recipient's domain does not receive mail, or not for this address.", "Check the address for a typing error."),
    "2.1": Explanation("The mailbox is disabled and takes no messages.", "Reach the recipient in another way."),
    "2.2": Explanation("The recipient's mailbox is full.", "Try again later, or tell the recipient in another way."),
    "2.3": _TOO_BIG,
    "3.4": _TOO_BIG,
    "3.3": Explanation(
        "The next mail system cannot do what you asked for when you sent the message.",
        "Send it again without the delivery time, or give your administrator this report.",
    ),
    "4.0": _UNREACHABLE,
    "4.1": _UNREACHABLE,
    "4.2": _UNREACHABLE,
    "4.3": Explanation(
        "The DNS did not answer when the recipient's mail system was looked up.",
        "Try again later; if this goes on, give your administrator this report.",
    ),
    "4.4": _NO_ROUTE,
    "4.6": _LOOP,
    "4.7": Explanation(
        "The message could not be delivered in the time that is allowed for it, although it was tried again and again.",
        "Send it again later. If that fails too, give your administrator this report: the last error below says why.",
    ),
    "5.3": Explanation("The message has more recipients than the next mail system accepts.", "Send it to fewer recipients at a time."),
    "6.0": Explanation("The message has a form that the recipient's mail system does not accept.", "Send it in a simpler format."),
    "6.3": Explanation(
        "The message has a form that the next mail system does not take, and it cannot be converted without harm.",
        "Send it in a simpler format, for example unsigned or with the text in an attachment.",
    ),
    "6.7": Explanation(
        "The message has an address with international characters, which the next mail system does not support.",
        "Use an address in plain letters where there is one.",
    ),
    "6.9": Explanation(
        "The message has international characters in its header, which the next mail system does not support.",
        "Send it from an address and to addresses in plain letters.",
    ),
    "7.0": _DENIED,
    "7.1": _DENIED,
    "7.8": Explanation("This relay could not log in at the next mail system.", "Give your administrator this report."),
    "7.10": Explanation("The next mail system demands encryption.", "Give your administrator this report."),
    "7.30": Explanation(
        "You asked for a protected way to the recipient (REQUIRETLS), but the next mail system does not offer it.",
        "Send the message without that demand, or reach the recipient in another way.",
    ),
    "7.54": Explanation("The next mail system does not relay to this address.", "Give your administrator this report."),
    "7.57": Explanation("The next mail system demands a login.", "Give your administrator this report."),
    "7.60": Explanation("The next mail system does not let this relay send with your address.", "Give your administrator this report."),
}

_BY_SUBJECT = {
    "1": Explanation("The address was not accepted.", "Check it for a typing error, or ask the recipient for the right one."),
    "2": Explanation("The recipient's mailbox could not take the message.", "Try again later, or reach the recipient in another way."),
    "3": _UNREACHABLE,
    "4": _UNREACHABLE,
    "5": Explanation("The mail systems did not understand each other.", "Give your administrator this report."),
    "6": Explanation("The message has a form that the recipient's mail system does not accept.", "Send it in a simpler format."),
    "7": Explanation(
        "The recipient's mail system refused the message for reasons of security or policy.",
        "Give your administrator this report; the reply below may say more.",
    ),
}

_OTHER = Explanation("The message was refused.", "The reply below may say more; your administrator can help with it.")


@attrs.frozen(slots=True)
class Kind:
    """A kind of report.

    @ivar action: of each of its recipients (RFC 3464 section 2.3.3).
    @ivar notify: the keyword of NOTIFY that asks for it, C{""} where it is only made when it was asked for.
    @ivar title: in front of the subject.
    @ivar introduction: the first words; a delay notice says there until when it is tried.
    @ivar words: for each recipient, None where its status explains it.
    """

    action: str
    notify: str
    title: str
    introduction: str
    words: Explanation | None = None


FAILED = Kind("failed", "FAILURE", "Undeliverable", "Your message could not be delivered to these recipients:")
DELAYED = Kind(
    "delayed",
    "DELAY",
    "Delivery delayed",
    "Your message has not been delivered to these recipients yet. It is tried again until {until}.\nYou do not need to send it again.",
    Explanation("The recipient's mail system could not take the message so far.", "You need not do anything."),
)
RELAYED = Kind(
    "relayed",
    "",
    "Relayed",
    "Your message was passed on to the next mail system for these recipients:",
    Explanation("The next mail system has taken the message.", "It may not tell you about the delivery."),
)
DELIVERED = Kind(
    "delivered",
    "",
    "Delivered",
    "Your message was delivered to these recipients:",
    Explanation("The message is in the mailbox.", "Whether it was read is not known."),
)


def explanation(status: str) -> Explanation:
    """The words for an enhanced status code, whatever its class: C{"5.1.1"}."""
    subject, _, detail = status.partition(".")[2].partition(".")
    return _BY_CODE.get(f"{subject}.{detail}") or _BY_SUBJECT.get(subject, _OTHER)

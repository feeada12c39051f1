"""What one server is told of a job, and what its answers mean for the recipients.

Decides the addresses and parameters of a transaction: by what the server offers, by the time that is left, by what the route rewrites.
Recipients who are the same address after rewriting are said once, and what is answered counts for all of them; one who is to get nothing
has a verdict without the server's word.  It does no I/O.

Sources: RFC 2852 section 4.1.3 (BY), RFC 4954 section 5 (AUTH), RFC 3461 section 5.2.1 (ORCPT names who was meant).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from twistedrelay.delivery.fit import ascii_path
from twistedrelay.delivery.success import success_action
from twistedrelay.interfaces import IContent, IRewrite
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, Job, MailParameters, Message, Outcome, OutcomeKind, RcptParameters, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_offers import Offers, original_recipient
from twistedrelay.wire.client_values import Transaction, Verdict


def transaction(job: Job, content: IContent, mail: MailParameters, offers: Offers, now: float) -> Transaction:
    """The transaction for a job whose addresses stay as they are."""
    message = job.message
    paths = [recipient.address.text for recipient in job.recipients]
    sender = message.sender.text
    if not offers.utf8 and not (sender.isascii() and "".join(paths).isascii()):
        sender, paths = ascii_path(message.sender), [ascii_path(recipient.address) for recipient in job.recipients]
    rcpt = [recipient.parameters for recipient in job.recipients] if offers.dsn else ()
    repair = _needs_repair(message, mail)
    mail = mail if mail is NO_MAIL_PARAMETERS else _parameters(job, mail, now)
    return Transaction(sender, paths, content.size, mail, rcpt, job, content, repair)


def _needs_repair(message: Message, mail: MailParameters) -> bool:
    """Whether content came binary and leaves as text: its header sections, and what is around its parts, may hold bare line ends."""
    return message.parameters.body == "BINARYMIME" and mail.body != "BINARYMIME"


def _parameters(job: Job, mail: MailParameters, now: float) -> MailParameters:
    message = job.message
    if mail.deliver_by is not None:
        left = int(mail.deliver_by.seconds - (now - message.received_at))
        mail = attrs.evolve(mail, deliver_by=attrs.evolve(mail.deliver_by, seconds=left))
    if mail.auth and not message.origin.user:  # nobody here vouches for what was said
        mail = attrs.evolve(mail, auth="<>")
    return mail


@attrs.frozen(slots=True)
class Rewritten:
    """A job whose addresses change on the way.

    @ivar sender: the return path.
    @ivar recipients: whom the server is told, each once.
    @ivar parameters: theirs.
    @ivar places: for each recipient of the job which of them it is, or why it is none.
    @ivar told: for each recipient of the job what the server is told instead of its address, or nothing.
    """

    sender: Address
    recipients: list[Address]
    parameters: list[RcptParameters]
    places: list[int | Verdict]
    told: list[str]

    @classmethod
    def of(cls, job: Job, rewrite: IRewrite) -> Rewritten:
        """A job as a route rewrites it."""
        found: dict[Address, int] = {}
        parameters: list[RcptParameters] = []
        places: list[int | Verdict] = []
        told: list[str] = []
        for recipient in job.recipients:
            new = rewrite.recipient(recipient.address)
            told.append("" if isinstance(new, Reply) or new == recipient.address else new.text)
            if isinstance(new, Reply):
                places.append(Verdict(new, own=True))
                continue
            place = found.setdefault(new, len(found))
            places.append(place)
            if place == len(parameters):
                parameters.append(_meant_for(recipient.address, recipient.parameters, new))
        return cls(rewrite.sender(job.message.sender), list(found), parameters, places, told)

    def transaction(self, job: Job, content: IContent, mail: MailParameters, offers: Offers, now: float) -> Transaction:
        """As the function L{transaction}."""
        paths = [address.text if offers.utf8 else ascii_path(address) for address in self.recipients]
        sender = self.sender.text if offers.utf8 else ascii_path(self.sender)
        rcpt = self.parameters if offers.dsn else ()
        repair = _needs_repair(job.message, mail)
        return Transaction(sender, paths, content.size, _parameters(job, mail, now), rcpt, job, content, repair)

    def spread(self, verdicts: Sequence[Verdict | None]) -> list[Verdict | None]:
        """What the answers mean for the recipients of the job."""
        found = [verdicts[place] if isinstance(place, int) else place for place in self.places]
        return [attrs.evolve(verdict, told=told) if verdict and told else verdict for verdict, told in zip(found, self.told, strict=True)]

    def those(self, indexes: Sequence[int]) -> list[int]:
        """The recipients of the job behind these recipients of the transaction."""
        wanted = set(indexes)
        return [index for index, place in enumerate(self.places) if isinstance(place, int) and place in wanted]


def _meant_for(old: Address, parameters: RcptParameters, new: Address) -> RcptParameters:
    """Reports about somebody who was rewritten name who was meant."""
    if new == old or parameters.orcpt or not parameters.notify:
        return parameters
    return attrs.evolve(parameters, orcpt=original_recipient(old.text))


@attrs.frozen(slots=True)
class Receipt:
    """What is the same for all outcomes on a connection.

    @ivar remote: the server.
    @ivar seconds: the time.
    @ivar tls: as outcomes tell it.
    @ivar final: the server is the mailbox.
    """

    remote: str
    tls: str
    offers: Offers
    final: bool
    seconds: Callable[[], float]

    def outcome(self, job: Job, recipient: Recipient, verdict: Verdict, converted: bool, defect: bool) -> Outcome:
        """What a verdict means for a recipient of a job."""
        reply = verdict.reply
        kind = OutcomeKind.DELIVERED if reply.code < 300 else OutcomeKind.DEFERRED if reply.code < 500 else OutcomeKind.FAILED
        action = ""
        if kind is OutcomeKind.DELIVERED and (recipient.parameters.notify or job.message.parameters.deliver_by is not None):
            action = success_action(job.message, recipient, self.offers, self.seconds(), final=self.final)
        remote = "" if verdict.own else self.remote
        return Outcome(recipient, kind, reply, remote, verdict.uncertain, self.tls, action, converted, defect, verdict.told)

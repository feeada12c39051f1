"""From C{recipients} of the accepted domains to whom a session asks.

Decides what a daemon does not start with (a list or a directory's file that cannot be used), and what to say where nobody can tell: an
address of a directory that is away waits at its sender (4xx), but a mailbox server that is away is what a relay is for: its mail is
taken and waits here.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.config.problems import ConfigError, Path, Problem
from twistedrelay.config.replace import stamp_of
from twistedrelay.config.schema import Config, Recipients
from twistedrelay.config.units import NextHopValue
from twistedrelay.policy.recipients.asked import WAITING, AskedRecipients
from twistedrelay.policy.recipients.cache import AnswerCache
from twistedrelay.policy.recipients.domains import DomainRecipients, Source
from twistedrelay.policy.recipients.listed import RecipientFile, RecipientFileError, read_entries
from twistedrelay.policy.threads import CheckThreads
from twistedrelay.values.address import Address
from twistedrelay.values.reply import RECIPIENT_LOOKUP_FAILED

#: Seconds between two looks at the lists.
LOOK_INTERVAL = 2.0


class Prober(Protocol):
    """Asks a next hop whether it takes mail for an address."""

    def ask(self, address: Address) -> Deferred[bool | None]:
        """None: it cannot tell."""

    def stop(self) -> None:
        """Close its connections."""


MakeProber = Callable[[NextHopValue], Prober]


def recipient_problems(config: Config) -> list[Problem]:
    """What is wrong with the files that C{recipients} name, for the loader."""
    return list(_problems(config))


def _problems(config: Config) -> Iterator[Problem]:
    seen: set[str] = set()
    for domain, item in config.accepted_domains.items():
        found = item.recipients
        if found is None or (found.file or found.ldap) in seen:
            continue
        seen.add(found.file or found.ldap)
        path: Path = ("accepted_domains", domain, "recipients")
        if found.file:
            try:
                for _ in read_entries(found.file):
                    pass
            except RecipientFileError as error:
                yield Problem((*path, "file"), str(error))
        if found.ldap:
            yield from _ldap_problems(found.ldap, (*path, "ldap"))


def _ldap_problems(file: str, path: Path) -> Iterator[Problem]:
    if importlib.util.find_spec("ldap") is None:
        yield Problem(path, "needs the package python-ldap (pip install 'twistedrelay[ldap]')")
        return
    from twistedrelay.policy.external.ldap_settings import load_settings
    from twistedrelay.policy.recipients.directory import RecipientDirectorySettings

    try:
        load_settings(file, RecipientDirectorySettings)
    except ConfigError as error:
        for problem in error.problems:
            yield Problem(path, str(problem))


@attrs.frozen(eq=False)
class Lookups:
    """The recipients of one configuration.

    @ivar files: the lists, by their paths.
    @ivar asked: those that somebody is asked about, by all that makes them what they are, and how the asking ends.
    @ivar recipients: for the sessions; None where no domain has C{recipients}.
    """

    files: dict[str, RecipientFile] = attrs.Factory(dict)
    asked: dict[object, tuple[Source, Callable[[], None]]] = attrs.Factory(dict)
    recipients: DomainRecipients | None = None


class RecipientService(Service):
    """The recipients of all accepted domains, and what they need while the relay runs."""

    log = Logger()

    def __init__(self, config: Config, reactor: Any, make_prober: MakeProber, warn: Callable[[list[str]], None]) -> None:
        self._reactor = reactor
        self._warn = warn
        self._loop = LoopingCall(self._refresh)
        self._loop.clock = reactor
        self._lookups = Lookups()
        self._lookups = self.make(config, make_prober)

    @property
    def recipients(self) -> DomainRecipients | None:
        """See L{Lookups}."""
        return self._lookups.recipients

    def make(self, config: Config, make_prober: MakeProber) -> Lookups:
        """The recipients of a configuration; what they have in common with those in use stays as it is, with the answers that it keeps.

        Blocks; nothing of it is used before L{use}.
        @raise RecipientFileError: a list cannot be used.
        @raise ConfigError: a directory's file cannot be used.
        """
        made = Lookups()
        sources = {
            domain: None if item.recipients is None else self._source(item.recipients, item.next_hop, made, make_prober, config.server.fqdn)
            for domain, item in config.accepted_domains.items()
        }
        return attrs.evolve(made, recipients=DomainRecipients(sources) if any(sources.values()) else None)

    def use(self, lookups: Lookups) -> Callable[[], None]:
        """Use others from now on.

        @return: to be called when nobody asks any more who began before.
        """
        former, self._lookups = self._lookups, lookups
        if self.running:
            self._look_at_lists()
        gone = [stop for key, (_, stop) in former.asked.items() if key not in lookups.asked]

        def end() -> None:
            for stop in gone:
                stop()

        return end

    def _source(self, item: Recipients, hop: NextHopValue | None, made: Lookups, make_prober: MakeProber, fqdn: str) -> Source:
        if item.file:
            file = made.files.get(item.file) or self._lookups.files.get(item.file)
            if file is None:
                file = RecipientFile(item.file, lambda text: self._reactor.callFromThread(self._warn, [text]))
                file.load()
            made.files[item.file] = file
            return file
        who = (item.ldap, stamp_of(item.ldap)) if item.ldap else (str(hop), fqdn)
        key = (who, item.cache_size, item.positive_cache_time, item.negative_cache_time)
        asked = made.asked.get(key) or self._lookups.asked.get(key)
        if asked is None:
            cache = AnswerCache(self._reactor.seconds, item.cache_size, item.positive_cache_time, item.negative_cache_time)
            asked = self._directory(item.ldap, cache) if item.ldap else self._next_hop(hop, cache, make_prober)
        made.asked[key] = asked
        return asked[0]

    def _directory(self, file: str, cache: AnswerCache) -> tuple[Source, Callable[[], None]]:
        from twistedrelay.policy.external.ldap_settings import load_settings
        from twistedrelay.policy.recipients.directory import RecipientDirectory, RecipientDirectorySettings

        settings = load_settings(file, RecipientDirectorySettings)
        directory = RecipientDirectory(settings)
        threads = CheckThreads(self._reactor, "the directory", settings.max_connections, WAITING)
        ask = functools.partial(threads.run, directory.exists)
        source = f"the directory of {file}"
        return AskedRecipients(self._reactor, ask, cache, self._tell, source=source, doubt=RECIPIENT_LOOKUP_FAILED), threads.retire

    def _next_hop(self, hop: NextHopValue | None, cache: AnswerCache, make_prober: MakeProber) -> tuple[Source, Callable[[], None]]:
        assert hop is not None
        prober, source = make_prober(hop), f"the next hop {hop}"
        return AskedRecipients(self._reactor, prober.ask, cache, self._tell, source=source, doubt=True, mistrust=True), prober.stop

    def _tell(self, text: str) -> None:
        self._warn([text])

    def startService(self) -> None:
        """Look at the lists from now on."""
        super().startService()
        self._look_at_lists()

    def _look_at_lists(self) -> None:
        if self._lookups.files and not self._loop.running:
            self._loop.start(LOOK_INTERVAL, now=False).addErrback(self._failed)

    def stopService(self) -> None:
        """Ask nobody any more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        for _, stop in self._lookups.asked.values():
            stop()

    def _refresh(self) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._look).addErrback(self._failed)

    def _look(self) -> None:
        for one in list(self._lookups.files.values()):
            one.refresh()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("looking at the lists of recipients failed", failure)

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

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.config.problems import ConfigError, Path, Problem
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


class RecipientService(Service):
    """The recipients of all accepted domains, and what they need while the relay runs.

    @ivar recipients: for the sessions; None where no domain has C{recipients}.
    """

    log = Logger()

    def __init__(self, config: Config, reactor: Any, make_prober: MakeProber, warn: Callable[[list[str]], None]) -> None:
        self._reactor = reactor
        self._make_prober = make_prober
        self._warn = warn
        self._files: dict[str, RecipientFile] = {}
        self._asked: dict[object, Source] = {}
        self._stops: list[Callable[[], None]] = []
        self._loop = LoopingCall(self._refresh)
        self._loop.clock = reactor
        sources = {
            domain: None if item.recipients is None else self._source(item.recipients, item.next_hop)
            for domain, item in config.accepted_domains.items()
        }
        self.recipients = DomainRecipients(sources) if any(sources.values()) else None

    def _source(self, item: Recipients, hop: NextHopValue | None) -> Source:
        if item.file:
            if item.file not in self._files:
                self._files[item.file] = RecipientFile(item.file, lambda text: self._reactor.callFromThread(self._warn, [text]))
                self._files[item.file].load()
            return self._files[item.file]
        key = (item.ldap, None if item.ldap else hop, item.cache_size, item.positive_cache_time, item.negative_cache_time)
        if key not in self._asked:
            cache = AnswerCache(self._reactor.seconds, item.cache_size, item.positive_cache_time, item.negative_cache_time)
            self._asked[key] = self._directory(item.ldap, cache) if item.ldap else self._next_hop(hop, cache)
        return self._asked[key]

    def _directory(self, file: str, cache: AnswerCache) -> Source:
        from twistedrelay.policy.external.ldap_settings import load_settings
        from twistedrelay.policy.recipients.directory import RecipientDirectory, RecipientDirectorySettings

        settings = load_settings(file, RecipientDirectorySettings)
        directory = RecipientDirectory(settings)
        threads = CheckThreads(self._reactor, "the directory", settings.max_connections, WAITING)
        self._stops.append(threads.stop)
        ask = functools.partial(threads.run, directory.exists)
        return AskedRecipients(self._reactor, ask, cache, self._tell, source=f"the directory of {file}", doubt=RECIPIENT_LOOKUP_FAILED)

    def _next_hop(self, hop: NextHopValue | None, cache: AnswerCache) -> Source:
        assert hop is not None
        prober = self._make_prober(hop)
        self._stops.append(prober.stop)
        return AskedRecipients(self._reactor, prober.ask, cache, self._tell, source=f"the next hop {hop}", doubt=True, mistrust=True)

    def _tell(self, text: str) -> None:
        self._warn([text])

    def startService(self) -> None:
        """Look at the lists from now on."""
        super().startService()
        if self._files:
            self._loop.start(LOOK_INTERVAL, now=False).addErrback(self._failed)

    def stopService(self) -> None:
        """Ask nobody any more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        for stop in self._stops:
            stop()

    def _refresh(self) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._look).addErrback(self._failed)

    def _look(self) -> None:
        for one in self._files.values():
            one.refresh()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("looking at the lists of recipients failed", failure)

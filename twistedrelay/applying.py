"""Changes of the configuration while the relay runs, in two phases.

First everything is made that the new configuration needs, in a thread where that may block: files are read and checked, certificates
loaded, checkers and tables made, and last of all the new bindings opened.  What cannot be had ends it here, and nothing that runs has
noticed.  Then all of it takes the place of what was there, in one turn of the reactor: sessions that begin from now on are of the new
configuration, those in progress keep what they have, and what waits in the queue goes the new ways.  One change at a time.

What is only read at a start (L{twistedrelay.config.changes}) stays as it is, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistedrelay.answers.check import CHECKS, warnings
from twistedrelay.answers.waiting import to_its_end
from twistedrelay.config.changes import changes, in_place
from twistedrelay.config.load import Loaded, load_with_places
from twistedrelay.config.problems import ConfigError
from twistedrelay.config.schema import Config
from twistedrelay.control.applying import ApplyError, Prepared
from twistedrelay.control.live import Relay
from twistedrelay.net.listening import ListenError, Opening
from twistedrelay.policy.recipients.listed import RecipientFileError
from twistedrelay.receiving import Generation, Receiving
from twistedrelay.sending import Outgoing, Sending
from twistedrelay.state import StartError
from twistedrelay.tls.contexts import Change as Certificates
from twistedrelay.tls.contexts import ServerContexts
from twistedrelay.tls.store import CertificateError, CertificateStore
from twistedrelay.values.events import ServiceEvent

#: Changes that may wait for their turn.
MOST_WAITING = 20

#: Lines of what is different that go into the log.
MOST_TOLD = 30

#: What rooms raise where something that a configuration needs cannot be had.
_REFUSALS = (CertificateError, RecipientFileError, StartError, OSError, ValueError)

T = TypeVar("T")


@attrs.frozen(eq=False)
class Made:
    """All that a configuration needs besides its listeners."""

    config: Config
    loaded: Loaded
    changes: tuple[str, ...]
    needs_restart: tuple[str, ...]
    certificates: Certificates
    outgoing: Outgoing
    generation: Generation
    unreadable: tuple[str, ...]
    warnings: tuple[str, ...]


@attrs.define(eq=False)
class Change:
    """See L{twistedrelay.control.applying.Prepared}."""

    config: Config
    loaded: Loaded
    changes: tuple[str, ...]
    needs_restart: tuple[str, ...]
    warnings: tuple[str, ...]
    _take_over: Callable[[], None]
    _give_up: Callable[[], Deferred[None]]
    _over: bool = False

    def commit(self) -> None:
        """Put it in the place of the one in use, at once.  Never fails."""
        if not self._over:
            self._over = True
            self._take_over()

    def abort(self) -> Deferred[None]:
        """Give back what it took."""
        if self._over:
            return succeed(None)
        self._over = True
        return self._give_up()


class Applying:
    """See the module, and L{twistedrelay.control.applying.Applying}.

    @ivar file: the configuration's first file, absolute.
    @ivar relay: what the API shows; set once it is made.
    @param also: told of the configuration that is in use from now on.
    """

    _log = Logger()
    relay: Relay

    def __init__(
        self,
        file: str,
        reactor: Any,
        sending: Sending,
        receiving: Receiving,
        contexts: ServerContexts,
        store: CertificateStore,
        emit: Callable[[ServiceEvent], None],
        also: Callable[[Config], None],
    ) -> None:
        self.file = file
        self._reactor = reactor
        self._sending = sending
        self._receiving = receiving
        self._contexts = contexts
        self._store = store
        self._emit = emit
        self._also = also
        self._turn = DeferredLock()
        self._stopped = False

    def prepare(self, overlay: Mapping[str, bytes | None] = MappingProxyType({})) -> Deferred[Prepared]:
        """See L{twistedrelay.control.applying.Applying}."""
        if len(self._turn.waiting) >= MOST_WAITING:
            return fail(ApplyError("too many changes of the configuration wait for their turn; try again in a moment"))
        return Deferred.fromCoroutine(self._prepare(overlay))

    def reload(self) -> Deferred[Prepared]:
        """See L{twistedrelay.control.applying.Applying}."""
        return self.prepare().addCallbacks(self._committed, self._refused)

    def stop(self) -> None:
        """Change nothing any more."""
        self._stopped = True

    def while_nothing_changes(self, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Do something that no change may come across."""
        return self._turn.run(work)

    # -- the first phase -------------------------------------------------------------------------------------------------

    async def _prepare(self, overlay: Mapping[str, bytes | None]) -> Prepared:
        await self._turn.acquire()
        return await to_its_end(Deferred.fromCoroutine(self._in_turn(overlay)), lambda prepared: prepared.abort())

    async def _in_turn(self, overlay: Mapping[str, bytes | None]) -> Prepared:
        try:
            self._check_running()
            return await self._prepared(overlay)
        except BaseException:
            self._turn.release()
            raise

    async def _prepared(self, overlay: Mapping[str, bytes | None]) -> Prepared:
        made = await self._in_thread(self._make, overlay)
        try:
            self._check_running()
            opening = self._receiving.listeners.prepare(made.generation.factories)
        except (ApplyError, ListenError) as error:
            await self._in_thread(self._sending.drop, made.outgoing)
            raise ApplyError(str(error)) from None
        different = (
            *made.changes,
            *(f"listener {place}: opened" for place in opening.opens),
            *(f"listener {place}: closed" for place in opening.closes),
        )

        def take_over() -> None:
            self._take_over(made, opening, different)

        def give_up() -> Deferred[None]:
            opening.abort()
            return self._in_thread(self._sending.drop, made.outgoing).addBoth(self._given_up)

        return Change(made.config, made.loaded, different, made.needs_restart, made.warnings, take_over, give_up)

    def _check_running(self) -> None:
        if self._stopped:
            raise ApplyError("the relay is stopping")

    def _make(self, overlay: Mapping[str, bytes | None]) -> Made:
        """In a thread; the configuration in use stays the same meanwhile, since this has its turn."""
        loaded = load_with_places(self.file, CHECKS, overlay)
        config, needs_restart = in_place(self.relay.config, loaded.config)
        try:
            store = self._store.with_files(config.certificates)
            unreadable = store.load()
            certificates = self._contexts.change(config, store)
            outgoing = self._sending.make(config)
            try:
                generation = self._receiving.make(config, outgoing.acceptance, certificates.contexts)
            except BaseException:
                self._sending.drop(outgoing)
                raise
        except _REFUSALS as error:
            raise ApplyError(f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error)) from error
        said = [*unreadable, *(notice.text for notice in certificates.notices), *generation.notices, *map(str, warnings(loaded))]
        different = changes(self.relay.config, config)
        return Made(
            config, loaded, different, needs_restart, certificates, outgoing, generation, tuple(unreadable), tuple(dict.fromkeys(said))
        )

    def _in_thread(self, work: Callable[..., T], *arguments: Any) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, *arguments)

    # -- the second phase ------------------------------------------------------------------------------------------------

    def _take_over(self, made: Made, opening: Opening, different: tuple[str, ...]) -> None:
        """Put all of it in its place.  What one part raises, which is a defect, keeps no other from its place."""
        if self._stopped:  # nobody is let in any more; the files have it, and so has the next start
            opening.abort()
            self._turn.release()
            return
        let_go: list[Callable[[], None]] = []

        def released() -> None:
            for end in let_go:
                end()

        steps: tuple[Callable[[], object], ...] = (
            lambda: self._contexts.use(made.certificates),
            lambda: let_go.append(self._sending.use(made.outgoing)),
            lambda: self._receiving.use(made.generation, opening, released),
            lambda: setattr(self.relay, "config", made.config),
            lambda: self._also(made.config),
            lambda: self._tell(made, different),
            self._turn.release,
        )
        for step in steps:
            try:
                step()
            except Exception:
                self._log.failure("a part of a changed configuration did not take its place")

    def _tell(self, made: Made, different: tuple[str, ...]) -> None:
        for text in (*made.unreadable, *made.generation.notices):
            self._emit(ServiceEvent("error", text))
        for notice in made.certificates.notices:
            self._emit(notice)
        told = different[:MOST_TOLD] + ((f"and {len(different) - MOST_TOLD} more",) if len(different) > MOST_TOLD else ())
        text = f"the configuration was changed: {'; '.join(told) or 'nothing is different'}"
        self._emit(ServiceEvent("info", text, "configuration_changed"))
        if made.needs_restart:
            text = f"only a restart changes {', '.join(made.needs_restart)}: until then they stay as they are"
            self._emit(ServiceEvent("warn", text))

    def _given_up(self, result: object) -> None:
        self._turn.release()

    def _committed(self, prepared: Prepared) -> Prepared:
        prepared.commit()
        return prepared

    def _refused(self, failure: Failure) -> Failure:
        if failure.check(ConfigError, ApplyError):
            text = "; ".join(failure.getErrorMessage().splitlines())
            self._emit(ServiceEvent("error", f"the configuration was not changed: {text}", "configuration_refused"))
        return failure

"""The public keys of an OAuth provider: a JWK set in a file, or fetched from the provider and kept for a while.

Decides which keys may be used at all: RSA, EC and EdDSA keys for signatures.  Symmetric keys never: a key that everyone may know must not
be one that makes signatures.  Decides nothing about a token.

Sources: RFC 7517 (JWK sets), RFC 8725 section 3 (algorithms), RFC 7518, RFC 8037.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs
import jwt
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime

from twistedrelay.config.replace import Stamp, stamp_of
from twistedrelay.values.printable import public_url

#: The only algorithms, by the type of the key and its curve.
ALGORITHMS: Mapping[tuple[str, str], frozenset[str]] = {
    ("RSA", ""): frozenset({"RS256", "RS384", "RS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("OKP", "Ed448"): frozenset({"EdDSA"}),
}

_SHORTEST_RSA = 2048  #: bits (RFC 7518 section 3.3)
_MOST_KEYS = 100
_FRESH = 3600.0  #: seconds after which keys are fetched again
_STALE = 86400.0  #: seconds after which keys that could not be fetched again are not used any more
_REFETCH = 60.0  #: seconds between two fetches, whatever tokens ask for


class KeysError(Exception):
    """The keys cannot be had now."""


@attrs.frozen(slots=True)
class Key:
    """A public key, and the algorithms that it is good for."""

    key: Any = attrs.field(repr=False)
    algorithms: frozenset[str]


class KeySet:
    """The keys of a JWK set.

    @raise KeysError: it is none, or none of its keys can be used.
    """

    def __init__(self, octets: bytes) -> None:
        self._by_id: dict[str, Key] = {}
        self._keys: list[Key] = []
        try:
            entries = json.loads(octets)["keys"]
            usable = [entry for entry in entries if isinstance(entry, dict) and entry.get("use", "sig") == "sig"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise KeysError("it is no JWK set") from None
        for entry in usable[:_MOST_KEYS]:
            self._add(entry)
        if not self._keys:
            raise KeysError("the JWK set has no RSA, EC or EdDSA key for signatures")

    def _add(self, entry: Mapping[str, Any]) -> None:
        algorithms = ALGORITHMS.get((str(entry.get("kty")), str(entry.get("crv", ""))), frozenset())
        named = entry.get("alg")
        if named is not None:
            algorithms &= {named} if isinstance(named, str) else set()
        if not algorithms or "d" in entry:  # a private key has no business here
            return
        try:
            public = jwt.PyJWK(dict(entry)).key
        except (jwt.PyJWTError, ValueError, TypeError):
            return
        if entry["kty"] == "RSA" and public.key_size < _SHORTEST_RSA:
            return
        key = Key(public, algorithms)
        self._keys.append(key)
        identity = entry.get("kid")
        if isinstance(identity, str):
            self._by_id[identity] = key

    def find(self, identity: str | None) -> Key | None:
        """The key with an id; a token without one may only mean the only key."""
        if identity is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return self._by_id.get(identity)


def read_keys(path: str) -> KeySet:
    """The keys in a file.  L{KeysError} says what is wrong with it."""
    try:
        with open(path, "rb") as stream:
            return KeySet(stream.read())
    except OSError as error:
        raise KeysError(f"{path}: cannot be read: {error.strerror}") from None
    except KeysError as error:
        raise KeysError(f"{path}: {error}") from None


class Keys(Protocol):
    """Where the keys of a provider come from."""

    def find(self, identity: str | None) -> Deferred[Key | None]:
        """The key with an id.  Fails with L{KeysError}."""


class FileKeys:
    """Keys in a file, which is read again when it changes.

    @param in_thread: calls a function with arguments in a thread.
    """

    def __init__(self, path: str, in_thread: Callable[..., Deferred[Any]]) -> None:
        self._path = path
        self._in_thread = in_thread
        self._stamp: Stamp | None = None
        self._set: KeySet | None = None

    @inlineCallbacks
    def find(self, identity: str | None) -> Any:
        """See L{Keys}."""
        stamp, keys = yield self._in_thread(self._read, self._stamp, self._set)
        self._stamp, self._set = stamp, keys
        return keys.find(identity)

    def _read(self, stamp: Stamp | None, known: KeySet | None) -> tuple[Stamp | None, KeySet]:
        """In a thread."""
        try:
            now = stamp_of(self._path)
            if known is not None and now == stamp:
                return stamp, known
        except OSError:
            now = None
        try:
            return now, read_keys(self._path)
        except KeysError:
            if known is not None:  # the last good ones, until the file is good again
                return None, known
            raise


class FetchedKeys:
    """Keys that are fetched, kept, and fetched again when they are old or when a token names one that is not among them.

    However many tokens ask for unknown keys, there is one fetch at a time, and none within a minute of the last.

    @param fetch: gives the octets at an address; bounded in size and time.
    """

    def __init__(self, url: str, fetch: Callable[[str], Deferred[bytes]], clock: IReactorTime) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._set: KeySet | None = None
        self._fetched = self._tried = float("-inf")
        self._error = "not fetched yet"
        self._waiting: list[Deferred[None]] | None = None

    @inlineCallbacks
    def find(self, identity: str | None) -> Any:
        """See L{Keys}."""
        now = self._clock.seconds()
        if self._set is None or now - self._fetched > _FRESH:
            yield self._refresh(now)
        if self._set is None or now - self._fetched > _STALE:
            raise KeysError(f"{public_url(self._url)}: {self._error}")
        found = self._set.find(identity)
        if found is None and identity is not None:
            yield self._refresh(now)
            found = self._set.find(identity)
        return found

    def _refresh(self, now: float) -> Deferred[None]:
        """Fires when the keys are as new as they may be; never fails."""
        done: Deferred[None] = Deferred(lambda _: None)  # who gives up waiting does not end the fetch
        if self._waiting is not None:
            self._waiting.append(done)
            return done
        if now - self._tried < _REFETCH:
            done.callback(None)
            return done
        self._waiting = [done]
        self._tried = now
        self._fetch(self._url).addCallback(self._take).addErrback(self._keep).addBoth(self._tell)
        return done

    def _take(self, octets: bytes) -> None:
        self._set = KeySet(octets)
        self._fetched = self._clock.seconds()

    def _keep(self, failure: Any) -> None:
        self._error = failure.getErrorMessage() or failure.type.__name__

    def _tell(self, result: None) -> None:
        waiting, self._waiting = self._waiting or [], None
        for done in waiting:
            if not done.called:
                done.callback(None)

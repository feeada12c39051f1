"""One of C{webhooks:} where events are posted to, and what it must be."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from pydantic import Field

from twistedrelay.config.model import Model
from twistedrelay.config.problems import Path
from twistedrelay.config.units import Switch
from twistedrelay.values.hooks import HOOK_EVENTS

_LONGEST = 2000


class Webhook(Model):
    """An address that events are posted to."""

    name: str = ""  # the loader puts the host of the url
    url: str
    events: list[str]
    connectors: list[str] = Field(default_factory=list)  # only events of these receive connectors, and of none; empty: of all
    secret_file: str  # the key of the signatures
    ca_file: str = ""  # whom to trust at url; the system's where empty
    enabled: Switch = True


def host_of(url: str) -> str:
    """The host of an address, C{""} where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def webhook(item: Webhook) -> Iterator[tuple[Path, str]]:
    """Rules for one of them: yields C{(path below it, what is wrong and what is allowed)}."""
    try:
        parts = urlsplit(item.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not item.url.isascii() or not item.url.isprintable() or " " in item.url or len(item.url) > _LONGEST:
        yield ("url",), "is no address; allowed: https://host/path, or http://... inside your own network"
    elif "@" in parts.netloc:
        yield ("url",), "holds a login, which would be shown; allowed: an address without one (the signature proves who sends)"
    if not item.events:
        yield ("events",), f"is empty; allowed: {', '.join(HOOK_EVENTS)}"
    for index, name in enumerate(item.events):
        if name not in HOOK_EVENTS:
            near = difflib.get_close_matches(name, HOOK_EVENTS, 1) or [other for other in HOOK_EVENTS if other.lower() == name.lower()]
            meant = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(HOOK_EVENTS)}"
            yield ("events", index), f"{name!r} is no event; {meant}"
    if not item.secret_file:
        yield ("secret_file",), "is empty; allowed: a file with a key of 24 octets or more, such as `openssl rand -base64 32` makes"
    if item.ca_file and not item.url.startswith("https://"):
        yield ("ca_file",), "has no use without https"


def named(items: Sequence[Webhook]) -> list[Webhook]:
    """The same, each with a name."""
    return [item if item.name else item.model_copy(update={"name": host_of(item.url)}) for item in items]


def same_names(items: Sequence[Webhook]) -> Iterator[tuple[Path, str]]:
    """Names are what webhooks are tested by."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item.name.casefold() in seen:
            yield (index, "name"), f"{item.name!r} is the name of another webhook; give each a name of its own"
        seen.add(item.name.casefold())

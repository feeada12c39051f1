"""Back pressure: what a relay does before a resource runs out.

Decides the level of each resource (with hysteresis: it falls later than it rose), and what follows at MAIL:

- Low: nothing.
- Medium, for disk, database or own memory: sessions without trust are refused (452 4.3.1); who logged in or is externally secured goes
  on.  Pickup, replay and resubmission pause.
- Medium, for a queue: sessions without trust wait for the answer to MAIL, longer with each sample; when that has not helped for as many
  samples as C{submission_queue_history_depth}, they are refused.
- High: everybody is refused.

C{system_memory}, which others use up as well, refuses nobody: the caches are emptied, as for own memory.  Delivery never stops, unlike
Exchange's at High: each message that leaves frees room on the disk and in memory.  It measures nothing and knows no clock; a sample is
handed in.

Source: Exchange Server, "Understanding back pressure" (levels, actions, history depth).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from twistedrelay.config.pressure import BackPressure as Settings
from twistedrelay.config.pressure import Thresholds
from twistedrelay.config.principals import EXTERNALLY_SECURED
from twistedrelay.policy.realm import RelaySession
from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply


class Level(enum.IntEnum):
    """How short a resource is."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2

    @property
    def label(self) -> str:
        """As Exchange writes it."""
        return self.name.capitalize()


#: The resources, in the order in which they are shown.
RESOURCES = ("used_disk_space", "database_used_space", "private_bytes", "system_memory", "submission_queue_length", "queue_length")

QUEUES = frozenset(("submission_queue_length", "queue_length"))  #: they slow down before they refuse
HARMLESS = frozenset(("system_memory",))  #: they refuse nobody


@attrs.frozen(slots=True)
class Reading:
    """One measurement.

    @ivar value: per cent, or a number of messages.
    @ivar detail: of what: a path, octets.
    """

    value: float
    detail: str = ""


@attrs.frozen(slots=True)
class Change:
    """A resource has another level now."""

    resource: str
    before: Level
    after: Level
    reading: Reading
    threshold: int

    @property
    def rises(self) -> bool:
        """More pressure than before."""
        return self.after > self.before

    def __str__(self) -> str:
        verb, than = ("rises", "above") if self.rises else ("falls", "below")
        unit = "" if self.resource in QUEUES else " %"
        where = f" ({self.reading.detail})" if self.reading.detail else ""
        numbers = f"{self.reading.value:.6g}{unit}, {than} {self.threshold}{unit}{where}"
        return f"back pressure: {self.resource} {verb} from {self.before.label} to {self.after.label}: {numbers}"


@attrs.define(slots=True)
class Resource:
    """One resource.

    @ivar thresholds: None where it is switched off.
    @ivar reading: the last one, None before the first.
    @ivar samples: for how many samples in a row it has not been Low.
    """

    name: str
    thresholds: Thresholds | None
    level: Level = Level.LOW
    reading: Reading | None = None
    samples: int = 0

    def sample(self, reading: Reading | None) -> Change | None:
        """Take a measurement; None: nobody can tell, and all stays as it is."""
        if reading is not None:
            self.reading = reading
        limits = self.thresholds
        before, threshold = self.level, 0
        if limits is None:
            self.level = Level.LOW
        elif reading is not None:
            self.level, threshold = _next(before, reading.value, limits)
        self.samples = self.samples + 1 if self.level else 0
        if self.level is before or reading is None:
            return None
        return Change(self.name, before, self.level, reading, threshold)


def _next(level: Level, value: float, limits: Thresholds) -> tuple[Level, int]:
    """The level behind a level, and the threshold that was passed."""
    if value > limits.medium_to_high:
        return Level.HIGH, limits.medium_to_high
    if level is Level.LOW:
        return (Level.MEDIUM, limits.low_to_medium) if value > limits.low_to_medium else (level, 0)
    if value < limits.medium_to_low:
        return Level.LOW, limits.medium_to_low
    if level is Level.HIGH and value < limits.high_to_medium:
        return Level.MEDIUM, limits.high_to_medium
    return level, 0


class BackPressure:
    """The state of all resources, and what follows from it.

    @ivar active: whether anything follows at MAIL now: all that a session has to look at.
    @ivar level: the highest level of the resources that refuse.
    @ivar delay: seconds that sessions without trust wait for the answer to MAIL.
    @ivar paused: pickup, replay and resubmission pause.
    @ivar refused: how many MAIL commands were refused, C{delayed} how many had to wait.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.active = False
        self.level = Level.LOW
        self.delay = 0.0
        self.paused = False
        self.refused = self.delayed = 0
        self.settings = settings or Settings(enable_resource_monitoring=False)
        self.resources = {name: Resource(name, None) for name in RESOURCES}
        self._refuses_strangers = False
        self._reason = ""
        self.use(self.settings)

    def use(self, settings: Settings) -> None:
        """Go on with other settings; levels change with the next sample."""
        self.settings = settings
        for name, resource in self.resources.items():
            resource.thresholds = getattr(settings, name) if settings.enable_resource_monitoring else None
            if resource.thresholds is None:  # perhaps nobody measures it any more
                resource.reading = None
        if not settings.enable_resource_monitoring:
            for resource in self.resources.values():
                resource.sample(None)
            self._decide()

    def sample(self, readings: Mapping[str, Reading]) -> list[Change]:
        """Take the measurements of one moment; what is missing stays as it was.  What changed."""
        changes = [resource.sample(readings.get(name)) for name, resource in self.resources.items()]
        self._decide()
        return [change for change in changes if change is not None]

    def refusal(self, trusted: bool) -> Reply | None:
        """The reply to MAIL of a session, or None where it may go on (after L{delay} seconds, where it is not trusted)."""
        if self.level is Level.HIGH or (self._refuses_strangers and not trusted):
            return replies.SYSTEM_RESOURCES
        return None

    def judge(self, avatar: RelaySession) -> tuple[Reply | None, str, float]:
        """For a MAIL command while L{active}: the refusal with the reason for the log, or None and how long it waits."""
        trusted = is_trusted(avatar)
        refusal = self.refusal(trusted)
        if refusal is not None:
            self.refused += 1
            return refusal, self._reason, 0.0
        delay = 0.0 if trusted else self.delay
        self.delayed += delay > 0.0
        return None, "", delay

    @property
    def reason(self) -> str:
        """Which resources are short: C{"used_disk_space is Medium (91.5 %)"}; empty where none is."""
        return self._reason

    def _decide(self) -> None:
        short = [resource for resource in self.resources.values() if resource.level]
        refusing = [resource for resource in short if resource.name not in HARMLESS]
        settings = self.settings
        self.level = max((resource.level for resource in refusing), default=Level.LOW)
        slow = [resource for resource in refusing if resource.name in QUEUES]
        given_up = any(resource.samples > settings.submission_queue_history_depth for resource in slow)
        self._refuses_strangers = len(slow) < len(refusing) or given_up
        steps = max((resource.samples for resource in slow), default=0)
        start, step, most = (
            settings.smtp_start_throttling_delay_interval,
            settings.smtp_step_throttling_delay_interval,
            settings.smtp_max_throttling_delay_interval,
        )
        self.delay = min(most, start + step * (steps - 1)) if steps else 0.0
        self.paused = self.active = bool(refusing)
        self._reason = ", ".join(_shown(resource) for resource in short)


def _shown(resource: Resource) -> str:
    unit = "" if resource.name in QUEUES else " %"
    value = "" if resource.reading is None else f" ({resource.reading.value:.6g}{unit})"
    return f"{resource.name} is {resource.level.label}{value}"


def is_trusted(avatar: RelaySession) -> bool:
    """Whether mail of a session goes on at Medium: who logged in, and other servers."""
    return bool(avatar.login) or avatar.principal == EXTERNALLY_SECURED

"""Loads a configuration with every check there is.

It decides which checks make up a start: C{load_checked} refuses what the daemon must not start with;
C{check} (C{relayctl check}, C{--check}) finds that and also what the daemon only warns of.  Nothing here opens a port or changes a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import attrs

from twistedrelay.answers.audit.openness import open_relay_problems
from twistedrelay.answers.doubts import doubts
from twistedrelay.config.load import Loaded, load_with_places
from twistedrelay.config.problems import Check, ConfigError, Problem
from twistedrelay.config.schema import Config
from twistedrelay.config.users import UsersError, UsersFile
from twistedrelay.policy.checkers import checker_problems
from twistedrelay.policy.connector import conflicts
from twistedrelay.policy.directories import directory_problems
from twistedrelay.policy.mechanisms import mechanism_problems
from twistedrelay.policy.recipients.build import recipient_problems
from twistedrelay.policy.rights import rights_problems
from twistedrelay.routing.checks import loop_problems, way_doubts
from twistedrelay.routing.logins import login_problems, login_warnings
from twistedrelay.tls.checks import certificate_problems, certificate_warnings
from twistedrelay.tls.pem import CertificateError, read_pair
from twistedrelay.tls.sendchecks import sending_problems, sending_warnings

#: What the daemon does not start with, besides what the loader itself finds.
CHECKS: Sequence[Check] = (
    conflicts,
    rights_problems,
    checker_problems,
    mechanism_problems,
    recipient_problems,
    directory_problems,
    certificate_problems,
    login_problems,
    loop_problems,
    sending_problems,
    open_relay_problems,
)


def load_checked(path: str) -> Config:
    """The configuration of a file.  Reads certificates: not on the reactor's thread while a relay runs.

    @raise ConfigError: it cannot be used; it holds all problems.
    """
    return load_with_places(path, CHECKS).config


def check(path: str) -> list[Problem]:
    """All that is wrong with a file; empty where a daemon starts with it and has nothing to warn of."""
    try:
        loaded = load_with_places(path, CHECKS)
    except ConfigError as error:
        return error.problems
    return warnings(loaded)


def warnings(loaded: Loaded) -> list[Problem]:
    """What the daemon has to warn of at a configuration that it can use.  Blocks."""
    return [attrs.evolve(loaded.places.locate(problem), blocks=False) for problem in _warnings(loaded.config)]


def _warnings(config: Config) -> Iterator[Problem]:
    """Files that the configuration names and that cannot be used, and settings that are doubtful."""
    yield from doubts(config)
    yield from way_doubts(config)
    for index, item in enumerate(config.certificates):
        try:
            read_pair(item.certificate, item.private_key, tuple(item.services))
        except CertificateError as error:
            yield Problem(("certificates", index), str(error))
    for index, description in enumerate(config.credential_checkers):
        kind, _, name = description.partition(":")
        if kind == "file" and not os.path.isfile(name):  # Twisted's checker reads it at a login
            yield Problem(("credential_checkers", index), f"{name}: is no file; a relative path counts from where the daemon is started")
    yield from certificate_warnings(config)
    yield from login_warnings(config)
    yield from sending_warnings(config)
    try:
        UsersFile(config.users).list()
    except UsersError as error:
        yield Problem(("users",), str(error))

"""Loads a configuration with every check there is.

It decides which checks make up C{relayctl check}, C{--check} and the daemon's start, which therefore always agree.  It opens no port
and changes no file.
"""

from __future__ import annotations

from collections.abc import Sequence

from twistedrelay.config.load import load
from twistedrelay.config.problems import Check, ConfigError, Problem
from twistedrelay.config.schema import Config
from twistedrelay.policy.connector import conflicts
from twistedrelay.policy.rights import rights_problems
from twistedrelay.tls.store import certificate_problems

#: The cross checks; each finds what is wrong between objects that are sound by themselves.
CHECKS: Sequence[Check] = (conflicts, rights_problems, certificate_problems)


def load_checked(path: str) -> Config:
    """The configuration of a file.

    @raise ConfigError: it cannot be used; it holds all problems.
    """
    return load(path, CHECKS)


def check(path: str) -> list[Problem]:
    """All that is wrong with a file; empty when a daemon can start with it."""
    try:
        load_checked(path)
    except ConfigError as error:
        return error.problems
    return []

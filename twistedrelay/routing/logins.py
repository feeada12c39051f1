"""The login of a send connector at its smart hosts, as values of the configuration; and what it lacks.

Never reads a secret: it only says where they are, and whether they are there.  A systemd credential is a file below
C{$CREDENTIALS_DIRECTORY}, which is looked up when it is read.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence

from twistedrelay.config.problems import Path, Problem
from twistedrelay.config.schema import Config, SendConnector
from twistedrelay.values.route import Login, TokenSource

_PACKAGES = ("oauthlib", "treq")


def secret_path(file: str, credential: str) -> str:
    """Where a secret is that is given by file or by systemd credential; C{""}: by neither."""
    return f"$CREDENTIALS_DIRECTORY/{credential}" if credential else file


def login_of(name: str, connector: SendConnector) -> Login | None:
    """The login of a connector, or None where it has none."""
    credential = connector.authentication_credential
    if credential is None or connector.smart_host_auth_mechanism == "None":
        return None
    if connector.smart_host_auth_mechanism != "XOAuth2" or credential.oauth is None:
        password = secret_path(credential.password_file, credential.password_credential)
        return Login(credential.username, password, connector.smart_host_auth_mechanism == "BasicAuthRequireTLS")
    oauth = credential.oauth
    source = TokenSource(
        token_url=oauth.token_url,
        client_id=oauth.client_id,
        grant_type=oauth.grant_type,
        client_secret_file=secret_path(oauth.client_secret_file, oauth.client_secret_credential),
        refresh_token_file=oauth.refresh_token_file if oauth.grant_type == "refresh_token" else "",
        scope=oauth.scope,
        ca_file=oauth.ca_file,
        connector=name,
    )
    return Login(credential.username, tokens=source)


def login_problems(config: Config) -> Sequence[Problem]:
    """Send connectors that need packages which are not there."""
    return list(_lacking(config))


def login_warnings(config: Config) -> Iterator[Problem]:
    """Secrets of send connectors that cannot be read.  A grant may come later: a relay that is to get one must start before."""
    for name, connector in config.send_connectors.items():
        credential = connector.authentication_credential
        if not connector.enabled or credential is None:
            continue
        path: Path = ("send_connectors", name, "authentication_credential")
        if credential.password_file:
            yield from _unreadable(credential.password_file, (*path, "password_file"))
        oauth = credential.oauth
        if oauth is None:
            continue
        for key in ("client_secret_file", "ca_file"):
            if getattr(oauth, key):
                yield from _unreadable(getattr(oauth, key), (*path, "oauth", key))
        if oauth.grant_type == "refresh_token" and os.path.exists(oauth.refresh_token_file):
            yield from _unreadable(oauth.refresh_token_file, (*path, "oauth", "refresh_token_file"))


def _unreadable(file: str, path: Path) -> Iterator[Problem]:
    try:
        with open(file, "rb"):
            pass
    except OSError as error:
        yield Problem(path, f"{file}: {error.strerror}")


def _lacking(config: Config) -> Iterator[Problem]:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    for name, connector in config.send_connectors.items():
        if missing and connector.enabled and connector.smart_host_auth_mechanism == "XOAuth2":
            text = f"XOAuth2 needs a package that is not there ({', '.join(missing)}); run: pip install 'twistedrelay[oauth]'"
            yield Problem(("send_connectors", name, "smart_host_auth_mechanism"), text)

"""What the login of a send connector must be: its secrets, and how it gets access tokens.

Sources: Set-SendConnector (AuthenticationCredential); RFC 6749 section 3.2 and RFC 8628 section 3.1 (TLS), systemd.exec (credential names).
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from twistedrelay.config.presets import PRESETS
from twistedrelay.config.rules import Findings
from twistedrelay.config.sending import Credential, OAuthClient

_SECRETS = ("password_file", "password_credential", "oauth")
_URLS = ("token_url", "device_authorization_url", "authorization_url")
_LONGEST_NAME = 255


def token_file(connector: str) -> str:
    """The name of the file in C{state_directory/tokens} that holds the refresh token of a connector."""
    name = quote(connector, safe=" ")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def credential(item: Credential, mechanism: str, preset: str) -> Findings:
    """Rules for C{authentication_credential}.

    @param mechanism: the connector's C{smart_host_auth_mechanism}, and not C{None}.
    """
    if not item.username or not item.username.isprintable():
        yield ("username",), f"{item.username!r} is no user name; allowed: the login at the smart host, such as relay@example.org"
    given = [key for key in _SECRETS if getattr(item, key)]
    if len(given) != 1:
        yield (), f"needs exactly one of {', '.join(_SECRETS)}; there is {' and '.join(given) or 'none'}"
    elif mechanism == "XOAuth2" and item.oauth is None:
        yield (given[0],), "is not used by XOAuth2, which needs oauth: {client_id: ...}; for a password write BasicAuthRequireTLS"
    elif mechanism != "XOAuth2" and item.oauth is not None:
        yield ("oauth",), f"is not used by {mechanism}; write smart_host_auth_mechanism: XOAuth2"
    yield from _credential_name(item.password_credential, "password_credential")
    if item.oauth is not None:
        for below, text in _oauth(item.oauth, preset):
            yield ("oauth", *below), text


def _credential_name(name: str, key: str) -> Findings:
    if name and (not re.fullmatch(r"[A-Za-z0-9_.:-]+", name) or name.strip(".") == "" or len(name) > _LONGEST_NAME):
        yield (key,), f"{name!r} is no systemd credential; allowed: the name in LoadCredential=NAME:FILE, without a path"


def _oauth(item: OAuthClient, preset: str) -> Findings:
    if not item.client_id or not item.client_id.isprintable():
        yield ("client_id",), "is empty; allowed: the application's id at the provider"
    if item.client_secret_file and item.client_secret_credential:
        yield ("client_secret_credential",), "stands beside client_secret_file; leave one out"
    yield from _credential_name(item.client_secret_credential, "client_secret_credential")
    if item.grant_type == "client_credentials":
        yield from _client_credentials(item, preset)
    if item.tenant and not re.fullmatch(r"[A-Za-z0-9.-]+", item.tenant):
        yield ("tenant",), f"{item.tenant!r} is no tenant; allowed: its id, or one of its domains"
    elif item.tenant and preset != "microsoft365":
        yield ("tenant",), "is only used with preset: microsoft365"
    if not item.token_url and preset != "microsoft365":
        yield ("token_url",), "is required, https://..., where no preset gives it"
    for key in _URLS:
        url = getattr(item, key)
        if url and not _is_https(url):
            yield (key,), f"{url!r} is not safe; allowed: https://..."
    if not item.scope.isprintable():
        yield ("scope",), "holds control characters"


def _client_credentials(item: OAuthClient, preset: str) -> Findings:
    if preset in PRESETS and "client_credentials" not in PRESETS[preset].scopes:
        yield ("grant_type",), f"{preset} has no client_credentials for mail; use refresh_token"
    if not item.client_secret_file and not item.client_secret_credential:
        yield (), "client_credentials needs client_secret_file or client_secret_credential"
    if preset == "microsoft365" and not item.token_url:
        yield (), "client_credentials needs tenant: the directory (tenant) id of your organisation"
    if "refresh_token_file" in item.model_fields_set:
        yield ("refresh_token_file",), "is only used with grant_type: refresh_token"


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        return False

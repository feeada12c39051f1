"""What C{preset} of a send connector stands for: the addresses, limits and OAuth endpoints of large providers.

A preset only fills in keys that are not given; it works on the tree as it was read, before anything is validated.

Sources: Microsoft, "Authenticate an IMAP, POP or SMTP connection using OAuth", "Message storage and concurrent connection throttling for
SMTP Authenticated Submission", "OAuth 2.0 device authorization grant"; Google, "OAuth 2.0 for iOS and desktop apps", "OAuth 2.0 for TV
and limited-input device applications" (which leaves mail out), "Gmail: OAuth 2.0 mechanism".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/"


@attrs.frozen
class Preset:
    """One provider.

    @ivar host: its smart host, on port 587 with STARTTLS.
    @ivar keys: of the send connector.
    @ivar oauth: of C{authentication_credential.oauth}; C{{tenant}} is the tenant.
    @ivar scopes: by grant type; a grant type that is not there is not possible.
    """

    host: str
    keys: Mapping[str, str]
    oauth: Mapping[str, str]
    scopes: Mapping[str, str]


PRESETS: Mapping[str, Preset] = {
    "microsoft365": Preset(
        host="smtp.office365.com",
        keys={"max_outbound_connections": "3", "message_rate_limit": "30"},
        oauth={"token_url": f"{_MICROSOFT}token", "device_authorization_url": f"{_MICROSOFT}devicecode"},
        scopes={
            "refresh_token": "https://outlook.office.com/SMTP.Send offline_access",
            "client_credentials": "https://outlook.office365.com/.default",
        },
    ),
    "google": Preset(
        host="smtp.gmail.com",
        keys={},
        oauth={
            "token_url": "https://oauth2.googleapis.com/token",
            "authorization_url": "https://accounts.google.com/o/oauth2/v2/auth?access_type=offline&prompt=consent",
        },
        scopes={"refresh_token": "https://mail.google.com/"},
    ),
}

#: Accounts of any organisation; an application that signs in by itself must name its own.
_ANY_TENANT = "organizations"


def fill(item: dict[str, Any]) -> None:
    """Put what the preset of a send connector says into it, where nothing is said."""
    preset = PRESETS.get(item.get("preset", "")) if isinstance(item.get("preset"), str) else None
    if preset is None:
        return
    _fill_tls(item, preset.host)
    item.setdefault("smart_hosts", [f"{preset.host}:587"])
    for key, value in preset.keys.items():
        item.setdefault(key, value)
    credential = item.get("authentication_credential")
    by_password = isinstance(credential, dict) and ("password_file" in credential or "password_credential" in credential)
    item.setdefault("smart_host_auth_mechanism", "BasicAuthRequireTLS" if by_password else "XOAuth2")
    oauth = credential.get("oauth") if isinstance(credential, dict) else None
    if isinstance(oauth, dict):
        _fill_oauth(oauth, preset)


def _fill_tls(item: dict[str, Any], host: str) -> None:
    """TLS with the smart host's name; of other smart hosts than the preset's, the name of the one there is."""
    given = item.get("smart_hosts")
    if given is not None:
        alone = given[0] if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str) else ""
        host = alone.removeprefix("smtp:").rpartition(":")[0] or alone
    host = str(item.get("tls_domain", "" if "[" in host else host))
    if "ignore_starttls" in item or not host:
        return
    if str(item.setdefault("require_tls", "true")).lower() == "true":
        level = item.setdefault("tls_auth_level", "DomainValidation")
        if level == "DomainValidation":
            item.setdefault("tls_domain", host)


def _fill_oauth(oauth: dict[str, Any], preset: Preset) -> None:
    grant = oauth.get("grant_type", "refresh_token")
    tenant = oauth.get("tenant") or (_ANY_TENANT if grant == "refresh_token" else "")
    for key, value in preset.oauth.items():
        if "{tenant}" not in value:
            oauth.setdefault(key, value)
        elif tenant:
            oauth.setdefault(key, value.replace("{tenant}", str(tenant)))
    scope = preset.scopes.get(grant) if isinstance(grant, str) else None
    if scope is not None:
        oauth.setdefault("scope", scope)

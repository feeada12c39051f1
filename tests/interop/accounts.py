"""A relay that offers every login mechanism, and what a client needs to use each."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import attrs
import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.end_to_end.relay import Relay, article

USER = "cengiz@akkaya.local"
PASSWORD = "pass-Wörd 42"
PLAIN_USER = "scanner@akkaya.local"  #: whose password a checker holds in plain
PLAIN_PASSWORD = "scanner-secret-17"
MACHINE = "machine@akkaya.local"  #: has a certificate, and rights by its name alone
ISSUER = "https://login.example"
AUDIENCE = "relay.akkaya.local"


@attrs.frozen
class Issuer:
    """An OAuth provider."""

    key: rsa.RSAPrivateKey = attrs.Factory(lambda: rsa.generate_private_key(65537, 2048))

    def jwks(self, kid: str = "first") -> str:
        """Its public keys."""
        entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**entry, "kid": kid, "use": "sig", "alg": "RS256"}]})

    def token(self, user: str = USER, **changes: Any) -> str:
        """A good token, or one with other claims."""
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600, "email": user, "scope": "smtp.send", **changes}
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "first"})


def relay_with_logins(issuer: Issuer, authority: trustme.CA, mailbox: str, outside: str) -> Relay:
    """A relay, not started, whose submission ports offer everything."""
    configuration, ports = article(mailbox, outside)
    relay = Relay(configuration, ports)
    directory = relay.directory
    (directory / "keys.json").write_text(issuer.jwks())
    (directory / "plain").write_text(f"{PLAIN_USER}:{PLAIN_PASSWORD}\n")
    authority.cert_pem.write_to_path(str(directory / "clients.pem"))
    configuration["credential_checkers"] = [f"file:{directory / 'plain'}"]
    configuration["oauth_providers"] = [
        {"issuer": ISSUER, "audience": AUDIENCE, "keys_file": "keys.json", "required_scope": "smtp.send"},
    ]
    for name in ("Client Frontend", "Submissions"):
        configuration["receive_connectors"][name] |= {
            "auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS", "ScramSha256", "CramMd5", "External", "XOAuth2"],
            "tls_client_ca_file": str(directory / "clients.pem"),
            "extended_rights": {MACHINE: ["Accept-Any-Recipient"]},
            "protocol_logging_level": "Verbose",
            "max_logon_failures": 0,
        }
    configuration["server"]["logon_lockout_threshold"] = 100
    relay.write()
    return relay


def certificate(authority: trustme.CA, directory: Path, name: str) -> tuple[str, str]:
    """Files of a client's certificate for a mail address, and of its key."""
    issued = authority.issue_cert(name)
    files = directory / f"{name}.crt", directory / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(str(files[0]))
    issued.private_key_pem.write_to_path(str(files[1]))
    return str(files[0]), str(files[1])

"""Gets one certificate from an ACME server, by the HTTP-01 challenge.  Everything here blocks and belongs in a thread of its own.

The account's key is made at the first use and kept (0600); each certificate has a new key, and takes the place of the last one in one
step.  Nothing is kept that was not checked: the certificate is for the key and the name that were asked for.

Needs the package acme: import this only where ACME is configured.

Source: RFC 8555.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import ssl
from collections.abc import Callable
from typing import Any, Protocol

import requests
from acme import challenges, client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from twistedrelay.config.replace import make_directory, replace
from twistedrelay.config.schema import Acme
from twistedrelay.tls.names import fits, host_names
from twistedrelay.tls.pem import CertificateError, PrivateKey, certificates_in, pair_of
from twistedrelay.tls.selfsigned import new_key, write_pair
from twistedrelay.values.printable import escape

#: Seconds for each request, and for the authority to look and to sign.
REQUEST_TIMEOUT = 30
ORDER_TIMEOUT = 120

_LONGEST_REASON = 500


class AcmeError(Exception):
    """No certificate could be had; C{str()} says why.

    @ivar refused: the authority said no, which it counts: it is not to be asked again soon.
    """

    def __init__(self, text: str, refused: bool = False) -> None:
        shown = escape(text)  # much of it is the authority's
        super().__init__(shown if len(shown) <= _LONGEST_REASON else f"{shown[:_LONGEST_REASON]}…")
        self.refused = refused


class ChallengeAnswers(Protocol):
    """Where challenges are answered; called from the thread."""

    def open(self, token: str, answer: str) -> None:
        """Answer a challenge from now on."""

    def close(self, token: str) -> None:
        """Answer it no more."""


class AcmeClient:
    """Asks an authority for certificates.

    @param directory: for the account's key and the certificates.
    """

    def __init__(self, settings: Acme, directory: str, answers: ChallengeAnswers) -> None:
        self._settings = settings
        self._directory = directory
        self._answers = answers

    def obtain(self, name: str, old_clients: bool = False) -> None:
        """Get a certificate for a host and put it into the store.

        @param old_clients: with an RSA key.
        @raise AcmeError: it could not be had.
        """
        try:
            self._obtain(name, new_key(old_clients))
        except requests.exceptions.RequestException as error:
            raise AcmeError(f"it cannot be asked: {_short(error)}") from None
        except errors.ValidationError as error:
            raise AcmeError(_validation(error), refused=True) from None
        except errors.IssuanceError as error:
            raise AcmeError(f"the authority refused: {error.error.detail or error.error}", refused=True) from None
        except messages.Error as error:
            raise AcmeError(f"the authority refused: {error.detail or error}", refused=True) from None
        except errors.TimeoutError:
            raise AcmeError(f"the authority was not done within {ORDER_TIMEOUT} seconds") from None
        except (errors.Error, JoseError, CertificateError, ValueError, KeyError) as error:
            raise AcmeError(f"the authority's answer cannot be understood: {_short(error)}") from None
        except OSError as error:
            raise AcmeError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None

    def _obtain(self, name: str, key: PrivateKey) -> None:
        server = self._server()
        order = server.new_order(_request(name, key))
        opened: list[str] = []
        try:
            self._answer_challenges(server, order, opened)
            deadline = datetime.datetime.now() + datetime.timedelta(seconds=ORDER_TIMEOUT)
            order = server.poll_and_finalize(order, deadline)
        finally:
            for token in opened:
                self._answers.close(token)
        self._keep(name, order.fullchain_pem.encode(), key)

    def _server(self) -> client.ClientV2:
        """The server, with an account there."""
        net = client.ClientNetwork(self._account_key(), alg=ES256, user_agent="twistedrelay", timeout=REQUEST_TIMEOUT)
        net.verify_ssl = self._settings.ca_file or _system_authorities()  # type: ignore[assignment]
        made = client.ClientV2(client.ClientV2.get_directory(self._settings.directory_url, net), net)
        contact = self._settings.contact.removeprefix("mailto:") or None
        registration = messages.NewRegistration.from_data(email=contact, terms_of_service_agreed=True)
        try:
            made.new_account(registration)
        except errors.ConflictError as known:
            net.account = messages.RegistrationResource(body=registration, uri=known.location)
        return made

    def _account_key(self) -> Any:
        file = os.path.join(self._directory, "account.json")
        make_directory(self._directory)
        if os.path.exists(file):
            with open(file, encoding="utf-8") as stream:
                return JWK.from_json(json.load(stream))
        made = JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
        replace(file, json.dumps(made.to_json()))
        return made

    def _answer_challenges(self, server: client.ClientV2, order: messages.OrderResource, opened: list[str]) -> None:
        for authorization in order.authorizations:
            if authorization.body.status.name == "valid":
                continue  # the authority remembers that it has looked
            found = [item for item in authorization.body.challenges if isinstance(item.chall, challenges.HTTP01)]
            if not found:
                raise AcmeError("the authority offers no http-01 challenge", refused=True)
            response, answer = found[0].response_and_validation(server.net.key)
            token = found[0].chall.encode("token")
            self._answers.open(token, answer)
            opened.append(token)
            server.answer_challenge(found[0], response)

    def _keep(self, name: str, content: bytes, key: PrivateKey) -> None:
        certificates = certificates_in(content, "the answer")
        pair = pair_of(certificates, key, ("SMTP",), "the answer", "the new key")
        if not any(fits(pattern, name) for pattern in host_names(pair.certificate)):
            raise AcmeError(f"the authority's certificate is not for {name}")
        write_pair(certificate_file(self._directory, name), [pair.certificate, *pair.chain], key)


#: Makes a client; tests put another one in its place.
ClientFactory = Callable[[Acme, str, ChallengeAnswers], AcmeClient]


def certificate_file(directory: str, name: str) -> str:
    """Where the certificate for a host is kept."""
    return os.path.join(directory, f"{name}.pem")


def _request(name: str, key: PrivateKey) -> bytes:
    """A request (CSR) for a host."""
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _system_authorities() -> str | bool:
    """The system's file of authorities, where it has one; else those that come with the library."""
    return ssl.get_default_verify_paths().cafile or True


def _validation(error: Any) -> str:
    """Why the authority's look at the challenge failed."""
    reasons = [
        str(challenge.error.detail)
        for authorization in error.failed_authzrs
        for challenge in authorization.body.challenges
        if challenge.error is not None
    ]
    return f"the authority could not see the challenge: {'; '.join(reasons) or 'it does not say why'}"


def _short(error: BaseException) -> str:
    """The innermost reason, without addresses of objects."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else error)
    inner = getattr(inner, "reason", inner)
    return re.sub(r"^(<.*?>|HTTPS?Connection\(.*?\)): ", "", str(getattr(inner, "strerror", None) or inner))

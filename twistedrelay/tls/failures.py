"""Why a server's certificate does not do, in words and as a TLS report says it.

Sources: OpenSSL's X509_verify_cert_error_string, RFC 8460 section 4.3 (result types).
"""

from __future__ import annotations

_EXPIRED = "certificate-expired"
_NOT_TRUSTED = "certificate-not-trusted"
_INVALID = "validation-failure"

_REASONS = {
    9: ("it is not valid yet", _INVALID),
    10: ("it has expired", _EXPIRED),
    18: ("it is self-signed", _NOT_TRUSTED),
    19: ("its chain ends at a self-signed certificate that is not trusted", _NOT_TRUSTED),
    20: ("its issuer is not trusted", _NOT_TRUSTED),
    21: ("its issuer is not known", _NOT_TRUSTED),
    23: ("it was revoked", _NOT_TRUSTED),
    26: ("it is not for servers", _INVALID),
}


class UntrustedPeer(Exception):
    """A server's certificate does not prove what the policy asks for; C{str()} says why.

    @ivar failure: the result type of a TLS report.
    """

    def __init__(self, text: str, failure: str = _INVALID) -> None:
        super().__init__(text)
        self.failure = failure


def untrusted(code: int) -> UntrustedPeer:
    """What an error code of OpenSSL's verification means."""
    reason, failure = _REASONS.get(code, (f"error {code}", _INVALID))
    return UntrustedPeer(f"the server's certificate cannot be trusted: {reason}", failure)


def wrong_name(wanted: str) -> UntrustedPeer:
    """The certificate is good, and another's."""
    return UntrustedPeer(f"the server's certificate is not for {wanted}", "certificate-host-mismatch")

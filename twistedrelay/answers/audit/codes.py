"""The kinds of findings: the names that exceptions and scripts use.  They are never renamed; C{docs/audit.rst} says what each means."""

from __future__ import annotations

CODES = frozenset(
    (
        # who may relay
        *("open-relay", "relay-wide", "relay-load-balancer", "relay-mail-server", "relay-this-host", "relay-shared", "relay-many-clients"),
        *("range-expired", "range-expires", "range-unused", "proxy-wide", "xclient-wide"),
        # how the connectors are kept
        *("clear-text-auth", "no-tls", "weak-tls", "weak-ciphers", "cram-md5", "bare-linefeed", "no-limits", "no-rate-limit"),
        *("banner-leak", "internal-name", "large-headers", "no-effect", "nobody-may-send"),
        # certificates
        *("self-signed", "certificate-expired", "certificate-expires", "certificate-not-yet", "certificate-unusable"),
        # domains and ways out
        *("accepted-domain-wide", "accepted-domain-wildcard", "external-relay", "backscatter", "no-way-out", "address-space-unused"),
        *(
            "private-targets",
            "clear-text-login",
            "postmaster",
            "next-hop-unreachable",
            "smart-host-unreachable",
            "source-address",
            "dane-dns",
        ),
        # accounts
        *("user-unused", "send-as-wide", "old-hash", "clear-text-passwords", "login-record", "checker-unusable", "users-unusable"),
        # this host
        *("file-writable", "file-readable", "control-socket", "clock-not-kept", "clock-wrong"),
        # the audit itself
        *("probe-relayed", "probe-trap", "probe-failed", "probe", "exception-unused", "file-differs", "warning"),
    )
)

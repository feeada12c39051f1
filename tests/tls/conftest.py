"""What the TLS tests share: a small authority and files of its certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.tls.files import write
from twistedrelay.config.schema import Certificate


class Authority:
    """A certificate authority that writes PEM files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = trustme.CA(organization_name="Test Authority")

    def issue(self, *names: str, file: str = "", services: tuple[str, ...] = ("SMTP",), **options: object) -> Certificate:
        """A certificate for names (at least one), in a file with its chain, and its key in another."""
        made = self.ca.issue_cert(*names, common_name=names[0], **options)  # type: ignore[arg-type]
        base = self.directory / (file or names[0].replace("*", "_"))
        write(base.with_suffix(".key"), made.private_key_pem.bytes())
        write(base.with_suffix(".crt"), b"".join(part.bytes() for part in made.cert_chain_pems))
        return Certificate(certificate=str(base.with_suffix(".crt")), private_key=str(base.with_suffix(".key")), services=list(services))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)

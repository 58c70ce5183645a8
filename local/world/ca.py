"""The certificate authority of the simulated world: good certificates, and three bad kinds."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import trustme

CertificateFault = Literal["expired", "name", "issuer"]

# More than a year: the longest drain does not outlive a certificate by itself.
LIFETIME = timedelta(days=397)
# A name that nobody asks for: .invalid never resolves (RFC 6761 section 6.4).
OTHER_NAME = "mta-sts.somebody-else.invalid"


class CertificateAuthority:
    """A private authority, trusted through `ca_file`: a PEM file in the directory given."""

    def __init__(self, directory: Path) -> None:
        self._trusted = trustme.CA()
        self._unknown = trustme.CA()
        self._contexts: dict[tuple[str, CertificateFault | None], ssl.SSLContext] = {}
        self._lock = threading.Lock()
        path = directory / "ca.pem"
        self._trusted.cert_pem.write_to_path(path)
        self.ca_file = str(path)

    def context(self, host: str, fault: CertificateFault | None = None) -> ssl.SSLContext:
        """Return a server's TLS context with a certificate for `host`, minted at first need.

        Faults: "expired" ended yesterday, "name" is for another host, "issuer" comes from an
        authority that is not in `ca_file`.
        """
        with self._lock:
            found = self._contexts.get((host, fault))
            if found is None:
                found = self._contexts[host, fault] = self._mint(host, fault)
            return found

    def _mint(self, host: str, fault: CertificateFault | None) -> ssl.SSLContext:
        authority = self._unknown if fault == "issuer" else self._trusted
        today = datetime.now(UTC)
        begin = today - (LIFETIME if fault == "expired" else timedelta(hours=1))
        end = today - timedelta(days=1) if fault == "expired" else today + LIFETIME
        certificate = authority.issue_cert(
            OTHER_NAME if fault == "name" else host, not_before=begin, not_after=end
        )
        context = server_context()
        certificate.configure_cert(context)
        return context


def server_context() -> ssl.SSLContext:
    """Return a context without a certificate, for TLS 1.2 or later (RFC 8461 section 3.3)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

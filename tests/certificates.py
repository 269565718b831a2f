"""A certificate of our own for the servers of tests."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest

HOSTS = ("localhost", "fal.test")
ADDRESS = "127.0.0.1"


def make_certificate(folder: Path) -> Path:
    """Write a certificate with its key that signs itself, for ``localhost``, ``fal.test`` and this machine."""
    x509 = pytest.importorskip("cryptography.x509", reason="no certificate can be made without cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "localhost")])
    names = [*map(x509.DNSName, HOSTS), x509.IPAddress(ipaddress.ip_address(ADDRESS))]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem


def server_context(pem: Path) -> ssl.SSLContext:
    """Return a context for a server that has the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def trusting_context(pem: Path) -> ssl.SSLContext:
    """Return a context for a client that trusts it, and nothing else."""
    return ssl.create_default_context(cafile=str(pem))

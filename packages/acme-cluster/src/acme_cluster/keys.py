"""The key pair of one cluster, made anew for each."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

__all__ = ["KeyPair", "make_keys"]

# Longer than any cluster lives. Connections are made as long as workers join, so a certificate must
# not expire meanwhile.
_VALID_DAYS = 365
# Clocks of compute nodes differ; a certificate must not seem to come from the future.
_CLOCK_SKEW = datetime.timedelta(days=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key.

    Attributes
    ----------
    certificate : str
        PEM text. Self-signed, and the only authority that the cluster accepts.
    key : str
        PEM text (PKCS #8, not encrypted). Left out of the representation.
    """

    certificate: str
    key: str = field(repr=False)


def make_keys() -> KeyPair:
    """Make a key pair on the curve P-256, valid for a year.

    Returns
    -------
    KeyPair
        A new pair each time.
    """
    # Imported here: loading OpenSSL's bindings is of no use where TLS is off.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    # Not RSA: a key on P-256 is made in a millisecond instead of a tenth of a second, and
    # handshakes are faster.
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "acme-cluster")])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        # One certificate is authority and identity at once; it signs nothing but itself.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("acme-cluster")]), critical=False)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(certificate.public_bytes(pem).decode(), private.decode())

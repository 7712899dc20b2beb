"""TLS settings of one cluster: encryption, and mutual authentication of every connection.

Scheduler, workers, nannies and clients of a cluster share one key pair that was made for it. Each
presents it and demands it, so that another user of the machine or network who knows an address
cannot connect. Keys stay in memory as text; a file is written only where batch jobs need one.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from distributed.security import Security

from acme_cluster.keys import KeyPair

__all__ = ["MemorySecurity", "cluster_security", "lighten_accepting"]


def cluster_security(keys: KeyPair) -> MemorySecurity:
    """Return distributed's security settings for a cluster with these keys.

    Parameters
    ----------
    keys : KeyPair
        Key and certificate, used for every role.

    Returns
    -------
    MemorySecurity
        Encryption and authentication required, TLS 1.3 only.
    """
    roles = {}
    for role in ("client", "scheduler", "worker"):
        roles[f"tls_{role}_cert"] = keys.certificate
        roles[f"tls_{role}_key"] = keys.key
    return MemorySecurity(  # type: ignore[no-untyped-call]
        require_encryption=True,
        tls_ca_file=keys.certificate,
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        **roles,
    )


_contexts: dict[tuple[object, ...], ssl.SSLContext] = {}
_contexts_lock = threading.Lock()


class MemorySecurity(Security):
    """distributed's `Security`, with keys that never touch a disk and contexts made once.

    OpenSSL reads keys from files only. distributed therefore writes them to the temp folder for a
    moment, where a process killed just then leaves its key. On Linux a memfd takes their place.
    """

    tls_min_version: ssl.TLSVersion
    tls_max_version: ssl.TLSVersion | None

    def _get_tls_context(self, tls: Mapping[str, Any], purpose: ssl.Purpose) -> Any:
        parts = (tls.get("ca_file"), tls.get("cert"), tls.get("key"), tls.get("ciphers"))
        if not all(isinstance(part, str) and "\n" in part for part in parts[:3]):
            return super()._get_tls_context(tls, purpose)  # type: ignore[no-untyped-call]
        key = (*parts, purpose, self.tls_min_version, self.tls_max_version)
        with _contexts_lock:
            if key not in _contexts:
                # Programs have one cluster at a time; contexts of earlier ones are of no use.
                if len(_contexts) > 8:
                    _contexts.clear()
                _contexts[key] = self._make_context(*parts, purpose)
            return _contexts[key]

    def _make_context(
        self, ca: Any, certificate: Any, key: Any, ciphers: Any, purpose: ssl.Purpose
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(purpose=purpose, cadata=ca)
        context.minimum_version = self.tls_min_version
        if self.tls_max_version is not None:
            context.maximum_version = self.tls_max_version
        with _file_in_memory(certificate + key) as path:
            context.load_cert_chain(path)
        context.verify_mode = ssl.CERT_REQUIRED
        # The certificate is its own authority and identifies its holders; it names no host. Python
        # 3.13 made VERIFY_X509_STRICT a default, which asks for extensions that it does not have.
        context.check_hostname = False
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if purpose is ssl.Purpose.CLIENT_AUTH:
            # No session is resumed here, and its tickets take a quarter of a handshake.
            context.num_tickets = 0
        if ciphers:
            context.set_ciphers(ciphers)
        return context


def lighten_accepting() -> None:
    """Make accepted TLS connections skip a default context that they do not use.

    tornado (6.4 to 6.6) creates a default context with all certificates of the system for every TLS
    stream, which takes 50 ms, and then finds that an accepted stream has one already. Accepted
    streams get an empty context instead; outgoing streams are untouched.
    """
    from tornado import tcpserver

    accepted: Any = vars(tcpserver).get("SSLIOStream")
    if accepted is None or issubclass(accepted, _Accepted):
        return
    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    class AcceptedStream(_Accepted, accepted):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{"ssl_options": unused, **kwargs})

    vars(tcpserver)["SSLIOStream"] = AcceptedStream


class _Accepted:
    """Marks the class installed by :func:`lighten_accepting`."""


@contextlib.contextmanager
def _file_in_memory(text: str) -> Iterator[str]:
    if not hasattr(os, "memfd_create"):
        with _private_file(text) as path:
            yield path
        return
    descriptor = os.memfd_create("acme-keys", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _private_file(text: str) -> Iterator[str]:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="acme-", suffix=".pem") as file:
        file.write(text)
        file.flush()
        yield file.name

"""The certificate of a server, from two files that may be replaced while it runs."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
import structlog

from sluiceway_common.foundation.errors import InvalidInput, Violation

log = structlog.get_logger(__name__)


def server_credentials(cert_file: Path, key_file: Path) -> grpc.ServerCredentials:
    """Return credentials that read both files again before a handshake when one of them has changed.

    Args:
        cert_file: the certificate and those that lead from it to its authority, in PEM form.
        key_file: its private key, in PEM form, without a password.

    Raises:
        InvalidInput: a file cannot be read, is not PEM, or the key belongs to another certificate.
    """
    files = _CertificateFiles(cert_file, key_file)
    return grpc.dynamic_ssl_server_credentials(files.read(), files.changed)  # type: ignore[arg-type]  # it takes None


class _CertificateFiles:
    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self._cert_file = cert_file
        self._key_file = key_file
        self._version: tuple[int, ...] = ()

    def read(self) -> grpc.ServerCertificateConfiguration:
        self._version = self._look()
        # gRPC would accept invalid files, and then refuse every handshake.
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                self._cert_file, self._key_file, password=_no_password
            )
        except (ssl.SSLError, ValueError) as error:
            message = f"it is not a certificate in PEM form with the key of {self._key_file}: {_words(error)}"
            raise InvalidInput([Violation("tls_cert_file", f"{self._cert_file}: {message}")]) from error
        except OSError as error:
            raise _unreadable(self._cert_file, self._key_file, error) from error
        return grpc.ssl_server_certificate_configuration([(self._key_file.read_bytes(), self._cert_file.read_bytes())])

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new certificate, if there is one. Called in a thread of gRPC, which ignores exceptions."""
        try:
            if self._look() == self._version:
                return None
            found = self.read()
        except InvalidInput as error:
            log.warning("certificate_not_renewed", error=error.message)
            return None
        log.info("certificate_renewed", file=str(self._cert_file))
        return found

    def _look(self) -> tuple[int, ...]:
        try:
            found = [file.stat() for file in (self._cert_file, self._key_file)]
        except OSError as error:
            raise _unreadable(self._cert_file, self._key_file, error) from error
        return tuple(number for status in found for number in (status.st_mtime_ns, status.st_size, status.st_ino))


def _no_password() -> str:
    raise ValueError("the key has a password, and there is nobody to ask for it")


def _unreadable(cert_file: Path, key_file: Path, error: OSError) -> InvalidInput:
    # `load_cert_chain` does not say which of the two it was.
    where, file = "tls_cert_file", cert_file
    if cert_file.is_file():
        where, file = "tls_key_file", key_file
    return InvalidInput([Violation(where, f"{file} cannot be read: {error.strerror}")])


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else str(error)

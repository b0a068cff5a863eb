"""How an etcd lets us in: user and password, and what TLS needs; read from files once, at the start."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sluiceway_common.foundation.errors import InvalidInput


@dataclass(frozen=True, slots=True, repr=False)
class EtcdTls:
    """PEM texts for `https://` endpoints. All None: the machine's own authorities, no client certificate."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None

    def __repr__(self) -> str:
        return "EtcdTls(***)"

    def context(self) -> ssl.SSLContext:
        """Make the same for the standard library.

        Raises:
            ssl.SSLError: a text is no PEM, or the key is encrypted or of another certificate.
        """
        context = ssl.create_default_context(
            cadata=None if self.ca is None else self.ca.decode("ascii", "backslashreplace")
        )
        if self.certificate is not None and self.key is not None:
            # The library reads them from files only.
            with _in_memory(self.certificate) as certificate, _in_memory(self.key) as key:
                # Without a password of ours it would ask for one at the terminal.
                context.load_cert_chain(certificate, key, password=str)
        return context


@dataclass(frozen=True, slots=True)
class EtcdAccess:
    """What an etcd asks for.

    Attributes:
        user: of etcd's own authentication; empty: none is sent.
        password: of `user`.
        tls: for `https://` endpoints.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    tls: EtcdTls = field(default_factory=EtcdTls)


def read_access(
    *,
    user: str = "",
    password: str = "",
    password_file: Path | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
) -> EtcdAccess:
    """Read the options of a command.

    Args:
        user: `--etcd-user`.
        password: of the environment, SLUICE_ETCD_PASSWORD; the file goes before it.
        password_file: `--etcd-password-file`; a line end at its end does not count.
        ca_file: `--etcd-ca-file`: the authorities that may have signed etcd's certificate.
        cert_file: `--etcd-cert-file`: our certificate.
        key_file: `--etcd-key-file`: its key, not encrypted.

    Raises:
        InvalidInput: one is missing beside another, or a file cannot be used; the message names the option.
    """
    if password_file is not None:
        password = _read("--etcd-password-file", password_file).decode("utf-8", "replace").rstrip("\r\n")
    if user and not password:
        raise InvalidInput(
            f'--etcd-user "{user}" needs a password: give --etcd-password-file FILE, or set SLUICE_ETCD_PASSWORD'
        )
    if password_file is not None and not user:
        raise InvalidInput("--etcd-password-file needs a user: give --etcd-user NAME")
    if (cert_file is None) != (key_file is None):
        raise InvalidInput("--etcd-cert-file and --etcd-key-file go together: give both, or none")
    tls = EtcdTls(
        ca=None if ca_file is None else _read("--etcd-ca-file", ca_file),
        certificate=None if cert_file is None else _read("--etcd-cert-file", cert_file),
        key=None if key_file is None else _read("--etcd-key-file", key_file),
    )
    _check(EtcdTls(ca=tls.ca), f"--etcd-ca-file {ca_file} holds no certificate in PEM")
    _check(
        EtcdTls(certificate=tls.certificate, key=tls.key),
        f"--etcd-cert-file {cert_file} and --etcd-key-file {key_file} are no certificate in PEM and its key, without a"
        " password",
    )
    return EtcdAccess(user, password if user else "", tls)


def _check(tls: EtcdTls, fault: str) -> None:
    try:
        tls.context()
    except (ssl.SSLError, ValueError) as cause:
        raise InvalidInput(fault) from cause


def _read(option: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise InvalidInput(f"{option} {path} cannot be read: {cause.strerror}") from cause
    if not content.strip():
        raise InvalidInput(f"{option} {path} is empty")
    return content


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Make a file that is nowhere on a disk; gives its path while the block runs."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)

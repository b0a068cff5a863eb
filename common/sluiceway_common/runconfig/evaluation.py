"""Run untrusted jsonnet in a child process, with limits, and with access to the files of the repository only.

The child (`jsonnet_child`) has no environment, no open file but its pipes, and cannot open one. It requests each import
from the parent, which decides what may be imported. A text that exceeds a limit kills the child, and the parent raises
an `EvaluationError` that names the limit.
"""

from __future__ import annotations

import importlib.util
import json
import posixpath
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from sluiceway_common.foundation.errors import Unavailable
from sluiceway_common.runconfig import jsonnet_child
from sluiceway_common.runconfig.documents import MAX_SOURCE_BYTES
from sluiceway_common.runconfig.files import FileReader, FileRefused, join_inside
from sluiceway_common.runconfig.when import Context

WALL_SECONDS: Final = 60
MAX_IMPORTS: Final = 1_000
MAX_IMPORTED_BYTES: Final = 16 << 20
_MAX_MESSAGE_BYTES: Final = 2 * jsonnet_child.OUTPUT_BYTES
_MAX_SHOWN_CHARACTERS: Final = 2_000


_NOT_KNOWN: Final = (
    "the values of inputs are not known while the runs and their `inputs` are listed: neither may depend on "
    "`ctx.inputs`"
)


# Whatever is malformed is left out here: it is reported when the whole is checked.
_DECLARATIONS: Final = """local config = import %s;
function(ctx)
  local made = if std.isFunction(config) then config(ctx=ctx) else config;
  local runs = if std.isObject(made) && 'runs' in made then made.runs else [];
  [run.inputs for run in (if std.isArray(runs) then runs else []) if std.isObject(run) && 'inputs' in run]
"""


class EvaluationError(ValueError):
    """The jsonnet has no output. `line` and `column` are of the configuration's own file, where known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def evaluate(path: str, text: str, files: FileReader, context: Context) -> str:
    """Run jsonnet and return its output, a JSON text of at most 1 MiB.

    A function is called with `ctx`. `path` is where `text` lies in the repository: imports are relative to it. Blocks
    for up to `WALL_SECONDS`. May be repeated: the same text, files and context have the same output.

    Raises:
        EvaluationError: the text is invalid, or exceeds a limit.
        Unavailable: the child could not be started, or `files` cannot be read.
    """
    return Evaluation(path, text, files, context).run()


def declarations(path: str, text: str, files: FileReader, context: Context) -> Evaluation:
    """Return the evaluation of what the runs of a configuration declare as their `inputs`, a list.

    It imports the configuration, so that its places and its own imports are those of an evaluation of the whole;
    jsonnet evaluates of it only what the list needs.
    """
    own = _WithOwn(path, text, files)
    return Evaluation(path, _DECLARATIONS % json.dumps(posixpath.basename(path)), own, context, inputs=None)


@dataclass(frozen=True, slots=True)
class _WithOwn:
    """The files of a repository, with the text of the configuration as it was read."""

    path: str
    text: str
    files: FileReader

    def read(self, path: str) -> bytes | None:
        return self.text.encode() if path == self.path else self.files.read(path)


@dataclass(slots=True)
class _Imports:
    """Handles the imports of the child, and counts them."""

    files: FileReader
    count: int = 0
    size: int = 0
    texts: dict[str, str] = field(default_factory=dict)

    def answer(self, folder: str, path: str) -> bytes:
        self.count += 1
        if self.count > MAX_IMPORTS:
            return _refusal(f"more than {MAX_IMPORTS} imports")
        try:
            inside = join_inside(folder, path)
            content = self.files.read(inside)
        except FileRefused as error:
            return _refusal(error.message)
        if content is None:
            return _refusal(f"there is no file {inside} in the repository at this commit; imports reach nothing else")
        self.size += len(content)
        if self.size > MAX_IMPORTED_BYTES:
            return _refusal(f"imports of more than {MAX_IMPORTED_BYTES} bytes in all")
        self.texts[inside] = content.decode("utf-8", "replace")
        return jsonnet_child.pack(b"F", inside.encode(), content)


def _refusal(message: str) -> bytes:
    return jsonnet_child.pack(b"E", message.encode("utf-8", "replace"))


class Evaluation:
    """One evaluation. Call `run` once; `kill` may be called from any thread, at any time, repeatedly."""

    def __init__(
        self,
        path: str,
        text: str,
        files: FileReader,
        context: Context,
        *,
        inputs: Mapping[str, str | float | bool] | None = MappingProxyType({}),
    ) -> None:
        """Create the evaluation.

        Args:
            path: as of `evaluate`.
            text: as of `evaluate`.
            files: as of `evaluate`.
            context: as of `evaluate`.
            inputs: the values of `ctx.inputs`. None: they are not known, and using one is an error.
        """
        self._path = path
        self._text = text
        self._imports = _Imports(files)
        self._context = context
        self._inputs = inputs
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._timed_out = False

    @property
    def imported(self) -> Mapping[str, str]:
        """The texts that were imported so far, by path; what is not UTF-8 in them is replaced."""
        return self._imports.texts

    def run(self) -> str:
        """Evaluate; return only when the child has exited."""
        source = self._text.encode()
        if len(source) > MAX_SOURCE_BYTES:
            raise EvaluationError(f"the file has {len(source)} bytes; at most {MAX_SOURCE_BYTES} are read")
        process = self._start()
        timer = threading.Timer(WALL_SECONDS, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
            answer = self._converse(process.stdin, process.stdout, source)
        finally:
            timer.cancel()
            self.kill()
            # After a kill this ends at once; the pipes are closed by the context of the process.
            with process:
                process.wait()
        if answer is None:
            raise EvaluationError(self._describe_death(process.returncode))
        kind, text = answer
        if kind == b"X":
            raise _as_error(self._path, text)
        return text

    def kill(self) -> None:
        """End the child, if it lives."""
        with self._lock:
            self._killed = True
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    def _time_out(self) -> None:
        self._timed_out = True
        self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise Unavailable("the evaluation of the configuration was given up before it began")
            try:
                self._process = subprocess.Popen(
                    _command(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as cause:
                raise Unavailable(f"the jsonnet process could not be started: {cause}") from cause
            return self._process

    def _converse(self, to_child: IO[bytes], from_child: IO[bytes], source: bytes) -> tuple[bytes, str] | None:
        """Handle imports until the child sends its result; None if it died before."""
        # `ctx` is jsonnet: what is evaluated only when it is used may be an error.
        ctx = json.dumps({**self._context.as_dict(), "inputs": dict(self._inputs or {})})
        if self._inputs is None:
            ctx += f" + {{ inputs: error {json.dumps(_NOT_KNOWN)} }}"
        outgoing = jsonnet_child.pack(b"S", self._path.encode(), source, ctx.encode())
        while True:
            try:
                to_child.write(outgoing)
                to_child.flush()
            except BrokenPipeError:
                return None
            message = _receive(from_child)
            if message is None:
                return None
            kind, fields = message
            if kind != b"I":
                text = fields[0].decode("utf-8", "replace") if fields else ""
                return kind, text
            folder, path = (f.decode("utf-8", "replace") for f in fields)
            outgoing = self._imports.answer(folder, path)

    def _describe_death(self, status: int) -> str:
        cpu, _ = jsonnet_child.CPU_SECONDS
        memory = jsonnet_child.MEMORY_BYTES >> 20
        if self._timed_out:
            return f"the evaluation took longer than {WALL_SECONDS} s"
        if status == -signal.SIGXCPU:
            return f"the evaluation took more than {cpu} s of processor time"
        if status == -signal.SIGABRT:
            return f"the evaluation needed more than {memory} MiB of memory"
        if status < 0:
            return f"the evaluation was ended by {signal.Signals(-status).name}: it nests too deeply or is too large"
        return f"the evaluation needed more than {memory} MiB of memory, or failed otherwise (exit status {status})"


def _receive(stream: IO[bytes]) -> tuple[bytes, list[bytes]] | None:
    header = stream.read(4)
    size = int.from_bytes(header, "big")
    if len(header) < 4 or not 0 < size <= _MAX_MESSAGE_BYTES:
        return None
    body = stream.read(size)
    if len(body) < size:
        return None
    return jsonnet_child.unpack(body)


@cache
def _command() -> tuple[str, ...]:
    found = importlib.util.find_spec("_jsonnet")
    if found is None or found.origin is None:
        raise Unavailable("the jsonnet library is not installed")
    # -I: no environment, no user's folder; -S: no site folder, which halves the start time; so pass the library's
    # folder.
    script = Path(jsonnet_child.__file__)
    return sys.executable, "-I", "-S", "-B", str(script), posixpath.dirname(found.origin)


_KIND = re.compile(r"\A(?:STATIC|RUNTIME) ERROR: ")


def _as_error(path: str, text: str) -> EvaluationError:
    """Convert a message of jsonnet, with its trace, to one sentence and a place."""
    message = _KIND.sub("", text)
    # The trace is what follows, in lines that begin with a tab.
    message, _, trace = message.partition("\n\t")
    message = message.strip()
    own = re.search(rf"(?:\A|\s){re.escape(path)}:\(?(\d+):(\d+)", message + "\n" + trace)
    first = re.match(r"\s*(\S+:[\d():-]+)", trace)
    if message.startswith(f"{path}:"):
        message = re.sub(r"\A\S*?:[\d():-]+:? ", "", message)
    elif first and first[1] and not first[1].startswith("tla:"):
        message = f"{message} (at {first[1]})"
    if len(message) > _MAX_SHOWN_CHARACTERS:
        message = message[:_MAX_SHOWN_CHARACTERS] + "…"
    if "function has no parameter ctx" in message:
        message = "a configuration that is a function must take one argument named `ctx`"
    line, column = (int(own[1]), int(own[2])) if own else (None, None)
    return EvaluationError(f"jsonnet: {message}", line, column)

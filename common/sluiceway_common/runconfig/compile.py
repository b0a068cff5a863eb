"""Load a checked configuration from the files of a repository, for the server and the command line.

`load` finds the file, renders or parses it, validates it with the model and checks it. All faults of the configuration
are in the result; other failures (the repository is unavailable) are raised, because a caller may retry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from sluiceway_common.runconfig.capabilities import DRIVERS, Capabilities
from sluiceway_common.runconfig.checks import check_runs, check_values
from sluiceway_common.runconfig.documents import Document, DocumentError, decode_source
from sluiceway_common.runconfig.environment import system_variables
from sluiceway_common.runconfig.evaluation import Evaluation, EvaluationError, declarations
from sluiceway_common.runconfig.files import FileRefused, RepositoryFiles
from sluiceway_common.runconfig.input_model import values_for_jsonnet
from sluiceway_common.runconfig.json_documents import parse_json
from sluiceway_common.runconfig.locate import (
    CANDIDATES,
    Source,
    Syntax,
    find_near_misses,
    find_reason_unread,
    find_source,
    find_unread,
    is_agola,
    syntax_of,
)
from sluiceway_common.runconfig.messages import describe_fault
from sluiceway_common.runconfig.model import Config
from sluiceway_common.runconfig.outline import outline
from sluiceway_common.runconfig.problems import DocumentPath, Problem, format_path, quoted
from sluiceway_common.runconfig.when import Context

_INPUTS: Final = "inputs"
# More than a person reads, and fewer than the errors that a run may be created with.
MAX_PROBLEMS: Final = 500


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of loading a configuration.

    Attributes:
        config: the checked model; None when there are errors.
        document: the configuration as plain data (dict, list, str, ...), after jsonnet; None when there is none.
        errors: all faults; if there are none, runs can be created from it.
        warnings: what is allowed but probably a mistake.
        source_path: the file, from the root of the repository; empty when none was found.
        is_made_with_inputs: whether it is jsonnet that may use the values of inputs: with others it may be another one.
    """

    config: Config | None
    document: Any
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    source_path: str = ""
    is_made_with_inputs: bool = False

    @property
    def is_agola(self) -> bool:
        """Whether tasks see Agola's names too (run-config.md, "What a task's environment holds")."""
        return is_agola(self.source_path)


def load(files: RepositoryFiles, context: Context, *, drivers: Sequence[Capabilities] = DRIVERS) -> LoadResult:
    """Load the configuration of a repository. Blocks while jsonnet runs; may be repeated.

    Args:
        files: of the repository.
        context: what a configuration that is a function is called with.
        drivers: those that may run the tasks; what none of them can do is an error.

    Raises:
        Unavailable: `files` cannot be read, or the jsonnet process could not be started. The file may be valid.
    """
    return _Loading(files, context, drivers).load()


def load_source(
    path: str, content: bytes, files: RepositoryFiles, context: Context, *, drivers: Sequence[Capabilities] = DRIVERS
) -> LoadResult:
    """Load the text of a file in any folder; its syntax, and the folder of its imports, follow from `path`.

    Raises:
        Unavailable: as `load`.
    """
    syntax = syntax_of(path)
    if syntax is None:
        message = f"{quoted(path)} is no configuration: its name must end in .jsonnet, .json, .yml or .yaml"
        return LoadResult(None, None, (Problem("", None, None, message),), source_path=path)
    loaded = _Loading(files, context, drivers).load_source(Source(path, syntax, content))
    return _with_warnings(loaded, find_reason_unread(files, path))


class _Loading:
    def __init__(self, files: RepositoryFiles, context: Context, drivers: Sequence[Capabilities]) -> None:
        self._drivers = drivers
        self._files = files
        self._context = context
        self._evaluation: Evaluation | None = None
        self._is_made_with_inputs = False

    def load(self) -> LoadResult:
        try:
            source = find_source(self._files)
            if source is None:
                message = f"there is no run configuration; looked for {', '.join(CANDIDATES)}"
                near = find_near_misses(self._files)
                return LoadResult(None, None, (Problem("", None, None, "; ".join((message, *near))),))
            loaded = self.load_source(source)
            imported = self._evaluation.imported if self._evaluation is not None else ()
            return _with_warnings(loaded, find_unread(self._files, source.path, imported))
        except FileRefused as error:
            return LoadResult(None, None, (Problem("", None, None, error.message),))

    def load_source(self, source: Source) -> LoadResult:
        try:
            document = self._parse(source)
        except DocumentError as error:
            return LoadResult(None, None, _cut(error.problems), source_path=source.path)
        except EvaluationError as error:
            problem = Problem("", error.line, error.column, error.message)
            return LoadResult(None, None, (problem,), source_path=source.path)
        if is_agola(source.path):
            from sluiceway_common.runconfig.agola.adapting import adapted  # noqa: PLC0415 - few repositories need it

            document = adapted(document)
        checked = check_document(document, source.path, drivers=self._drivers)
        return replace(checked, is_made_with_inputs=self._is_made_with_inputs)

    def _parse(self, source: Source) -> Document:
        # Imported on use: the command line reads one file, in one syntax.
        if is_agola(source.path) and source.syntax is not Syntax.JSONNET:
            from sluiceway_common.runconfig.agola.reading import read_json, read_yaml  # noqa: PLC0415 - see above

            return (read_yaml if source.syntax is Syntax.YAML else read_json)(source.content)
        if source.syntax is Syntax.YAML:
            from sluiceway_common.runconfig.yaml_documents import parse_yaml  # noqa: PLC0415 - see above

            return parse_yaml(source.content)
        if source.syntax is Syntax.JSON:
            return parse_json(source.content)
        from sluiceway_common.runconfig.rendered_documents import parse_rendered  # noqa: PLC0415 - see above

        text = decode_source(source.content)
        output = self._evaluated(source.path, text)
        assert self._evaluation is not None  # noqa: S101 - the line above made it
        return parse_rendered(output, text, self._evaluation.imported)

    def _evaluated(self, path: str, text: str) -> str:
        """Evaluate jsonnet with the values of the inputs that it declares.

        Most configurations declare none, and are evaluated once. Where a text has the word, the declarations are
        evaluated first: what the whole is evaluated with follows from them.
        """
        if _INPUTS not in text:
            try:
                output = self._evaluate(path, text, {})
            except EvaluationError:
                if not self._imports_mention_inputs():
                    raise
            else:
                if not self._imports_mention_inputs():
                    return output
        evaluation = self._evaluation = declarations(path, text, self._files, self._context)
        values = values_for_jsonnet(json.loads(evaluation.run()), self._context.inputs)
        self._is_made_with_inputs = bool(values)
        return self._evaluate(path, text, values)

    def _evaluate(self, path: str, text: str, inputs: Mapping[str, str | float | bool]) -> str:
        evaluation = self._evaluation = Evaluation(path, text, self._files, self._context, inputs=inputs)
        return evaluation.run()

    def _imports_mention_inputs(self) -> bool:
        return self._evaluation is not None and any(_INPUTS in each for each in self._evaluation.imported.values())


def check_document(
    document: Document, source_path: str = "", *, drivers: Sequence[Capabilities] = DRIVERS
) -> LoadResult:
    """Validate a document with the model and check it; all faults are in the result."""
    problems = _Problems(document, warnings=list(document.warnings))
    config: Config | None = None
    try:
        config = Config.model_validate(document.value, context={"any_variable_name": is_agola(source_path)})
    except ValidationError as error:
        for detail in error.errors(include_url=False)[: MAX_PROBLEMS + 1]:
            problems.error(*describe_fault(detail, document))
    system = system_variables(agola=is_agola(source_path))
    check_runs(outline(document.value), problems.error, problems.warning, system=system, drivers=drivers)
    check_values(document.value, problems.warning)
    problems.in_order()
    return LoadResult(
        None if problems.errors else config,
        document.value,
        _cut(problems.errors),
        _cut(problems.warnings),
        source_path,
    )


def _with_warnings(loaded: LoadResult, messages: Sequence[str]) -> LoadResult:
    return replace(loaded, warnings=(*(Problem("", None, None, m) for m in messages), *loaded.warnings))


def _cut(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    more = Problem("", None, None, f"there is more; only the first {MAX_PROBLEMS} are shown")
    return (*problems[:MAX_PROBLEMS], more)


@dataclass(slots=True)
class _Problems:
    document: Document
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, path: DocumentPath, message: str) -> None:
        self.errors.append(self._problem(path, message))

    def warning(self, path: DocumentPath, message: str) -> None:
        self.warnings.append(self._problem(path, message))

    def in_order(self) -> None:
        """Sort by line, where there are lines."""
        for problems in (self.errors, self.warnings):
            problems.sort(key=lambda p: (p.line or 0, p.column or 0))

    def _problem(self, path: DocumentPath, message: str) -> Problem:
        line, column = self.document.position(path) or (None, None)
        elsewhere = self.document.elsewhere(path)
        shown = format_path(self.document.written_path(path))
        return Problem(shown, line, column, f"{message} (at {elsewhere})" if elsewhere else message)

"""Read a configuration of Agola. Pure."""

from __future__ import annotations

from sluiceway_common.runconfig.agola.yaml_1_1 import AgolaComposer
from sluiceway_common.runconfig.documents import Document, DocumentError
from sluiceway_common.runconfig.json_documents import parse_json
from sluiceway_common.runconfig.problems import Problem
from sluiceway_common.runconfig.yaml_documents import parse_yaml


def read_yaml(source: bytes) -> Document:
    """Read `config.yml` by the rules of Agola's parser.

    Raises:
        DocumentError: it is not YAML, or exceeds a limit.
    """
    return parse_yaml(source, AgolaComposer)


def read_json(source: bytes) -> Document:
    """Read `config.json`, which may hold YAML, as in Agola.

    Raises:
        DocumentError: it is neither, or exceeds a limit.
    """
    try:
        return parse_json(source)
    except DocumentError as error:
        try:
            document = read_yaml(source)
        except DocumentError:
            # What is neither is most likely broken JSON.
            raise error from None
    if not source.lstrip().startswith(b"{"):
        warning = Problem("", None, None, "this is YAML and not JSON, and read as such, as in Agola")
        document.warnings = (warning, *document.warnings)
    return document

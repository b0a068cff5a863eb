"""The page of the options of each process, from the commands themselves."""

from __future__ import annotations

import inspect
import re

import click

from scripts.reference.markdown import NOTICE, ROOT, Fault, code, table
from sluiceway.cli.main import app
from sluiceway.cli.terminal import clean

PROCESSES = ("standalone", "server", "gateway", "executor run")

HEAD = """# Options of the processes

Each process takes its settings as options of its command. Durations are written as `30s`, `12m` or `1h30m`, sizes as
`512Mi` or `4Gi`. Secrets are never options: they come from files or from the environment.
"""

# (variable, who reads it, meaning)
VARIABLES = (
    ("SLUICE_SERVER", "commands", "The server: `HOST:PORT`, or `https://HOST[:PORT]`."),
    ("SLUICE_TOKEN", "commands", "The token."),
    ("SLUICE_CA_FILE", "commands", "CA certificates of the server, in PEM."),
    ("SLUICE_INSECURE", "commands", "`1`: send the token without TLS to another machine."),
    ("SLUICE_ETCD_PASSWORD", "`standalone`, `server`, `db`", "The password of `--etcd-user`."),
    ("AWS_*", "`standalone`, `server`, `db`", "Credentials for S3, as all AWS SDKs read them."),
    ("SLUICE_DEBUG", "commands", "`1`: print a traceback for an unexpected error."),
    ("NO_COLOR", "commands", "No colours."),
)


def options_page() -> str:
    """Return the page; raise `Fault` for a variable of the environment without a meaning."""
    lines = [NOTICE, "", HEAD]
    for name in PROCESSES:
        command, context = _find(name)
        lines += [f"## sluice {name}", "", inspect.cleandoc(command.help or ""), ""]
        rows = [row for parameter in command.params if (row := _row(parameter, context)) is not None]
        lines += table(("option", "value", "default", "meaning"), rows)
    known = {name for name, _, _ in VARIABLES}
    if missing := sorted(_variables_of_the_code() - known):
        raise Fault(f"scripts/reference/options.py lacks the meaning of the variables {', '.join(missing)}")
    variables = [(code(variable), reader, meaning) for variable, reader, meaning in VARIABLES]
    lines += ["## Environment", "", *table(("variable", "read by", "meaning"), variables)]
    return "\n".join(lines).rstrip() + "\n"


def _variables_of_the_code() -> set[str]:
    """Return the variables of our own that commands and servers read."""
    # Those that importers write are variables of tasks.
    files = (
        file
        for folder in ("client/sluiceway/cli", "client/sluiceway/client", "server")
        for file in (ROOT / folder).rglob("*.py")
    )
    return {name for file in files for name in re.findall(r'"(SLUICE_[A-Z_]*[A-Z])"', file.read_text())}


def _find(name: str) -> tuple[click.Command, click.Context]:
    command: click.Command = app
    context = click.Context(app, info_name="sluice")
    for word in name.split():
        assert isinstance(command, click.Group)
        _, found, _ = command.resolve_command(context, [word])
        assert found is not None, name
        command, context = found, click.Context(found, parent=context, info_name=word)
    return command, context


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str, str, str] | None:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return None
    value = "" if parameter.is_flag else parameter.make_metavar(context)
    if isinstance(parameter.type, click.IntRange | click.FloatRange) and not parameter.metavar:
        value = f"{parameter.type.name.split()[0].upper()} {parameter.type._describe_range()}"
    default = "" if parameter.default in (None, "", False, ()) or parameter.multiple else str(parameter.default)
    if "UNSET" in default.upper():
        default = ""
    if parameter.required:
        default = "required"
    elif default:
        default = code(default)
    variables = parameter.envvar if isinstance(parameter.envvar, str) else ", ".join(parameter.envvar or ())
    help_ = clean(parameter.help or "")
    return code(parameter.opts[-1]), code(value), default, help_ + (f" Variable: `{variables}`." if variables else "")

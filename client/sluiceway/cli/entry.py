"""The entry point of the `sluice` command.

Heavy modules are imported only by the commands that need them: `version` runs without click (quality.md B9). No command
prints a traceback: an error of our family is one sentence and exit code 1; any other exception is one sentence and exit
code 70, and its traceback with `SLUICE_DEBUG=1`. Ctrl-C is 130, a closed pipe (`| head`) 141, as in shells.
"""

from __future__ import annotations

import os
import sys

WRONG_COMMAND_LINE = 2
INTERRUPTED = 130  # 128 + SIGINT
READER_GONE = 141  # 128 + SIGPIPE
INTERNAL_FAULT = 70  # EX_SOFTWARE of sysexits.h
COMPLETION_VARIABLE = "_SLUICE_COMPLETE"


def main() -> None:
    """Run the command line; exits the process."""
    try:
        # A locale without UTF-8 (LC_ALL=C with PYTHONUTF8=0) gives other bytes than ASCII as surrogates.
        arguments = [os.fsencode(argument).decode() for argument in sys.argv[1:]]
    except UnicodeDecodeError as error:
        print(f"sluice: an argument is not UTF-8: {os.fsdecode(error.object)}", file=sys.stderr)
        sys.exit(WRONG_COMMAND_LINE)
    if arguments in (["version"], ["--version"]):
        from sluiceway_common.foundation.version import VERSION

        print(VERSION)
        return
    # Before grpc is first imported: children of a process with grpc's fork handlers crashed (architecture.md).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # grpc's C core writes its own lines to stderr; what goes wrong comes as our errors.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Plugins of pydantic are looked for in every package that is installed, which takes 10 ms.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from sluiceway.cli.terminal import show_what_can_be_shown

    show_what_can_be_shown(sys.stdout, sys.stderr)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        import signal

        # A second Ctrl-C while the interpreter ends would change the exit code and print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code == READER_GONE:
        # What is still in the buffer has no reader; the interpreter would complain when it cannot write it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    import click

    from sluiceway.cli.commands import EXTRA_KEY
    from sluiceway.cli.main import app
    from sluiceway.cli.terminal import clean, clean_lines
    from sluiceway_common.foundation.errors import InvalidInput, SluicewayError

    if completing := os.environ.get(COMPLETION_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(app, {}, "sluice", COMPLETION_VARIABLE, completing)
    extra = ""
    try:
        # Not `app.main`: it makes exit code 1 of a reader that went away, and 1 says that a watched run failed.
        with app.make_context("sluice", arguments) as context:
            try:
                code: int | None = app.invoke(context)  # what a command returns; None is 0
            finally:
                extra = context.meta.get(EXTRA_KEY, "")
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except SluicewayError as error:
        print(f"sluice: {clean_lines(error.message)}", file=sys.stderr)
        if isinstance(error, InvalidInput) and len(error.violations) > 1:
            for violation in error.violations:
                print(f"  {clean(violation.path)}: {clean(violation.message)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except ModuleNotFoundError as error:
        if not extra or os.environ.get("SLUICE_DEBUG"):
            raise
        print(
            f"sluice: this command needs the package {error.name}, which is not installed; install it with"
            f" pip install 'sluiceway[{extra}]'",
            file=sys.stderr,
        )
        return 1
    except Exception as error:
        if os.environ.get("SLUICE_DEBUG"):
            raise
        text = clean(f"{type(error).__name__}: {error}")
        print(f"sluice: this should not have happened ({text}); SLUICE_DEBUG=1 shows where", file=sys.stderr)
        return INTERNAL_FAULT
    return code or 0


if __name__ == "__main__":
    main()

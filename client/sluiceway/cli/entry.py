"""Where the `sluice` command begins.

Nothing heavy is imported before it is known what is asked: `version` answers without typer (quality.md B9). No command
prints a traceback: what is of our family is one sentence and exit code 1; what is not is one sentence and exit code 70,
and `SLUICE_DEBUG=1` shows where it came from.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

INTERNAL_FAULT = 70  # EX_SOFTWARE of sysexits.h


def main() -> None:
    """Run the command line; exits the process."""
    arguments = sys.argv[1:]
    if arguments in (["version"], ["--version"]):
        from sluiceway.foundation.version import VERSION

        print(VERSION)
        return
    # Before grpc is first imported: children of a process with grpc's fork handlers crashed (architecture.md).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # grpc's C core writes its own lines to stderr; what goes wrong comes as our errors.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    from sluiceway.cli.main import app
    from sluiceway.foundation.errors import InvalidInput, SluicewayError

    try:
        # Typer itself answers what is wrong with the command line (exit code 2) and `typer.Exit`.
        app(arguments, prog_name="sluice")
    except SluicewayError as error:
        print(f"sluice: {error.message}", file=sys.stderr)
        if isinstance(error, InvalidInput) and len(error.violations) > 1:
            for violation in error.violations:
                print(f"  {violation.path}: {violation.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("SLUICE_DEBUG"):
            raise
        print(
            f"sluice: this should not have happened ({type(error).__name__}: {error}); SLUICE_DEBUG=1 shows where",
            file=sys.stderr,
        )
        return INTERNAL_FAULT
    return 0


if __name__ == "__main__":
    main()

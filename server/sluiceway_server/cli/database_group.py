"""The group `sluice db`."""

from __future__ import annotations

from sluiceway.cli.commands import LazyGroup

database = LazyGroup(
    name="db",
    help="Inspect, check, save and repair the database.",
    places={
        "status": ("sluiceway_server.cli.database:status", "Show the state of etcd and of the object storage."),
        "verify": ("sluiceway_server.cli.database:verify", "Read and check all objects."),
        "checkpoint": ("sluiceway_server.cli.database:checkpoint", "Make a checkpoint now."),
        "export": ("sluiceway_server.cli.database:export", "Write all records to a file."),
        "import": ("sluiceway_server.cli.database:import_", "Create a database from an export."),
        "recover": ("sluiceway_server.cli.database:recover", "Continue in a new epoch after etcd was lost."),
        "restore": ("sluiceway_server.cli.database:restore", "Reset the database to an earlier entry."),
        "history": ("sluiceway_server.cli.database_history:history", "List what can be restored."),
        "rotate-master-key": (
            "sluiceway_server.cli.database_keys:rotate_master_key",
            "Encrypt all secrets under the newest master key.",
        ),
        "reset-operator-token": ("sluiceway_server.cli.database_tokens:reset", "Make a new token for an operator."),
    },
)

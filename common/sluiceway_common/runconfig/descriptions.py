"""The descriptions of the fields of a configuration, for the JSON Schema and the reference page. Pure.

They are not in the model: only the schema needs them, and a command that loads a configuration should not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ITSELF: Final = ""
"""The key of the description of a definition itself."""

CONFIGURATION: Final = "Config"

_REGISTRIES: Final = "Credentials for registries of images, by the name of the registry."
_TASK_TIMEOUT: Final = (
    "The time limit of an attempt, from the start of its pod. Default: that of the level above, or 1h."
)
_CONTENTS: Final = "The files to save."
_STEP: Final[Mapping[str, str]] = {
    "name": "The name of the step. A command of several lines needs one.",
    "when": "Run the step only for these refs and changes.",
    "always": "Run the step also after a failed step.",
    "type": "The type of the step.",
}

DESCRIPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    CONFIGURATION: {
        ITSELF: "A run configuration.",
        "runs": "The runs that a commit has.",
        "docker_registries_auth": _REGISTRIES,
        "task_timeout_interval": _TASK_TIMEOUT,
    },
    "Run": {
        ITSELF: "A graph of tasks.",
        "name": "The name of the run, unique in the configuration.",
        "tasks": "The nodes of the graph.",
        "when": "Create the run only for these refs and changes.",
        "docker_registries_auth": _REGISTRIES,
        "task_timeout_interval": _TASK_TIMEOUT,
        "timeout": "The time limit of the run, without the time in which it only waits for approvals. Default: none.",
        "priority": "Runs with a higher priority start first.",
        "inputs": (
            "Values that whoever starts the run may choose, by name: lower-case letters, digits and underscores. Tasks"
            " have them as `SLUICE_INPUT_NAME`, jsonnet as `ctx.inputs`. Everybody who sees the run sees them: no"
            " secrets."
        ),
    },
    "Input": {
        ITSELF: "A value that whoever starts the run may choose.",
        "type": "What the value is.",
        "default": "The value if none is given. Default: the empty string, 0, false or the first option.",
        "options": "The values that an input of type `choice` may have.",
        "pattern": "A regular expression (RE2) that must match the whole value of an input of type `string`.",
        "description": "What it is for; shown where a value is asked for.",
        "required": (
            "Whether a value must be given if there is no default. Pushes do not start such a run: people, schedules"
            " and programs do, with a value."
        ),
    },
    "Task": {
        ITSELF: "A node of the graph of a run. It runs in one pod.",
        "name": "The name of the task, unique in the run.",
        "runtime": "Where the task runs.",
        "environment": "Environment variables of all steps.",
        "id_tokens": "Id tokens (OpenID Connect), by the name of the variable that each is in. `NAME_FILE` has a file.",
        "working_dir": "The folder in which steps start.",
        "shell": "The shell that runs commands, with its options.",
        "user": "The user that runs commands. Default: that of the image.",
        "steps": "The steps, in order.",
        "depends": "The tasks that must end first. All dependencies must hold; the conditions of one are alternatives.",
        "ignore_failure": "A failure of the task does not fail the run.",
        "approval": "A person must approve the task before it runs.",
        "lock": "A name that one task of the project holds at a time, from assignment to its end.",
        "when": "Run the task only for these refs and changes; otherwise it is skipped.",
        "docker_registries_auth": _REGISTRIES,
        "task_timeout_interval": _TASK_TIMEOUT,
        "retry": "When a failed attempt is followed by another one.",
        "wait_timeout": "How long it may wait for an executor; then it fails. Default: without end.",
        "hold_on_failure": "How long the pod is kept when a step fails, to look at it and to continue. Default: not.",
        "labels": "Labels that the executor must have.",
        "priority": "Tasks with a higher priority get slots first. 0: the priority of the run.",
        "resources": "Limits of the whole pod.",
    },
    "Runtime": {
        ITSELF: "Where a task runs. The first container runs the steps; the others are services on localhost.",
        "type": "The only type there is.",
        "arch": "The architecture of the executor. Default: any.",
        "network": "What the task reaches: other machines but not its own, nothing, or all that its machine reaches.",
        "containers": "The containers of the pod.",
    },
    "Container": {
        ITSELF: "A container of a pod.",
        "image": "The image. `host` is the executor's own system, read-only.",
        "environment": "Environment variables of the container.",
        "user": "The user of its processes. Default: that of the image.",
        "privileged": "Run the container with all privileges.",
        "entrypoint": "Another entrypoint than that of the image.",
        "volumes": "Volumes to mount.",
        "resources": "Limits of the container.",
        "ready": "What a service must answer before the steps start: a command that exits with 0, or a port.",
    },
    "Ready": {
        ITSELF: "The check whether a service is ready: one of a command and a port.",
        "command": "A command that exits with 0.",
        "port": "A TCP port that accepts connections.",
    },
    "Volume": {
        ITSELF: "Something that is mounted into a container.",
        "path": "Where it is mounted.",
        "tmpfs": "A file system in memory.",
    },
    "Tmpfs": {ITSELF: "A file system in memory.", "size": "Its size."},
    "Resources": {
        ITSELF: "Limits of a container or a pod.",
        "cpu": 'Processors, such as "500m", 0.5 or 2.',
        "memory": 'Memory, such as "512Mi" or "1G"; or an integer of bytes.',
    },
    "RegistryAuth": {
        ITSELF: "Credentials for a registry of images.",
        "type": "`basic`: user name and password; `encodedauth`: both in one string.",
        "username": "The user name, for `basic`.",
        "password": "The password, for `basic`.",
        "auth": "User name and password as `docker login` stores them, for `encodedauth`.",
    },
    "Approval": {
        ITSELF: "The approval of a task by a person.",
        "timeout": "How long it waits; then the task is skipped.",
        "owners_only": "Only owners of the project may approve or reject it; otherwise members may.",
    },
    "IdToken": {
        ITSELF: "An id token of a task, with which it proves to others what it is.",
        "aud": "Who is to accept it: a string, or a list of strings.",
    },
    "Retry": {
        ITSELF: "When a failed attempt is followed by another one.",
        "max_attempts": "The most attempts, the first one included.",
        "on": "The causes after which to try again. Default: `failed`, `timeout` and `setup`; `lost` must be named.",
        "exit_codes": "Try again after `failed` only if the step that failed ended with one of these. Default: any.",
        "avoid": "What the next attempt avoids: the `executor` of the last one, if another one could run the task.",
    },
    "When": {
        ITSELF: (
            "The refs and changes to which something applies. A rule is an exact name, `/expression/` or `#expression#`"
            " (RE2, searched). Without any rule it applies always."
        ),
        "branch": "Rules for branches.",
        "tag": "Rules for tags.",
        "ref": "Rules for full refs, such as `refs/heads/main`.",
        "paths": "Rules for changed files, with `*` and `**` or an expression. They must hold as well as the others.",
        "inputs": "Rules for the values of inputs, by name. They must hold as well as the others.",
    },
    "RefRules": {
        ITSELF: "Rules of two kinds: what is included, and what of that is excluded.",
        "include": "Rules of which one must match.",
        "exclude": "Rules of which none may match.",
    },
    "ArchiveContents": {
        ITSELF: "Files of an archive.",
        "source_dir": "The folder from which they are taken. Default: the working directory.",
        "dest_dir": "The folder in the archive.",
        "paths": "Patterns of the files.",
    },
    "RunStep": {
        ITSELF: "Run a command. Short form: `{run: COMMAND}`.",
        **_STEP,
        "command": "The command, or a script of several lines.",
        "environment": "Environment variables of the step, on top of those of the task.",
        "working_dir": "The folder in which it starts. Default: that of the task.",
        "shell": "Another shell than that of the task.",
        "tty": "Give the command a terminal.",
    },
    "CloneStep": {
        ITSELF: "Clone the repository of the run at its commit. Short form: `{clone: {}}`.",
        **_STEP,
        "depth": "The number of commits to fetch. 0: all.",
        "recurse_submodules": "Clone submodules, too.",
    },
    "SaveToWorkspaceStep": {
        ITSELF: "Save files for the tasks that descend from this one.",
        **_STEP,
        "contents": _CONTENTS,
    },
    "RestoreWorkspaceStep": {
        ITSELF: "Unpack the files that the ancestors of the task saved.",
        **_STEP,
        "dest_dir": "Where to unpack them. Default: the working directory.",
    },
    "SaveCacheStep": {
        ITSELF: "Save files for later runs, if the key does not exist yet.",
        **_STEP,
        "key": "The key of the cache.",
        "contents": _CONTENTS,
    },
    "RestoreCacheStep": {
        ITSELF: "Unpack the newest cache whose key begins with one of the given ones.",
        **_STEP,
        "keys": "Beginnings of keys; the first that has a cache counts.",
        "dest_dir": "Where to unpack it. Default: the working directory.",
    },
    "SaveArtifactsStep": {
        ITSELF: "Save files for people.",
        **_STEP,
        "name": "The name of the artifact.",
        "paths": "Patterns of the files.",
    },
    "SaveReportsStep": {
        ITSELF: "Save test reports in JUnit's XML.",
        **_STEP,
        "paths": "Patterns of the files.",
    },
}

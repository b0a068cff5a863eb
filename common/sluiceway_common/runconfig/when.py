"""Evaluate `when`: rules over branch, tag, ref and changed files.

Without `when`, or with an empty one, everything applies. Else the ref decides first: start
with "no"; for `branch` (branches only), `tag` (tags only) and `ref` (always), in this order, a matching include sets
"yes" and after it a matching exclude sets "no". So a rule with excludes only never says "yes". Then `paths`, when
given, must agree too: some changed file is included (all are, where no include is given) and not excluded. If the
changed files are unknown (a first push, a manual start), `paths` agrees: it is worse to miss a test than to run one too
many. `inputs` must agree too: the value of each input that is named is included (any is, where no include is given) and
not excluded.

A rule between slashes or hashes (`/^v[0-9]/`, `#^feat/#`) is a regular expression of RE2, searched; any other is
compared as it is, except under `paths`, where it is a pattern of files: `*` and `?` stay inside a folder, `**` crosses
folders.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2


@dataclass(frozen=True, slots=True)
class Context:
    """The ref or pull request of a run; strings that do not apply are empty (run-config.md, `ctx`)."""

    ref_type: str = ""
    ref: str = ""
    branch: str = ""
    tag: str = ""
    pull_request_id: str = ""
    commit_sha: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The values of inputs by name: those that were given; for the `when` of a run, those of all that it declares."""

    def as_dict(self) -> dict[str, str]:
        """Return the object that a jsonnet function receives, but for the inputs."""
        return {
            "ref_type": self.ref_type,
            "ref": self.ref,
            "branch": self.branch,
            "tag": self.tag,
            "pull_request_id": self.pull_request_id,
            "commit_sha": self.commit_sha,
        }


@dataclass(frozen=True, slots=True)
class Rules:
    """What is included, and what is excluded from that."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class When:
    """The rules of one `when`; None where a kind was not given."""

    branch: Rules | None = None
    tag: Rules | None = None
    ref: Rules | None = None
    paths: Rules | None = field(default=None)
    inputs: Mapping[str, Rules] = field(default_factory=dict, hash=False)


def matches(when: When | None, context: Context, changed_paths: Collection[str] | None = None) -> bool:
    """Return whether `when` applies to `context`; `changed_paths` None means that they are not known."""
    if when is None:
        return True
    agrees = _ref_agrees(when, context) and _paths_agree(when.paths, changed_paths)
    return agrees and differing_input(when, context) is None


def _ref_agrees(when: When, context: Context) -> bool:
    if when.branch is None and when.tag is None and when.ref is None:
        return True
    decided = deciding_rule(when, context)
    return decided is not None and decided.includes


def differing_input(when: When, context: Context) -> str | None:
    """Return the name of the first input whose value `when` does not want; None: there is none."""
    for name, rules in when.inputs.items():
        value = context.inputs.get(name, "")
        is_included = not rules.include or any(_ref_rule_matches(rule, value) for rule in rules.include)
        if not is_included or any(_ref_rule_matches(rule, value) for rule in rules.exclude):
            return name
    return None


@dataclass(frozen=True, slots=True)
class DecidingRule:
    """The last rule that matches a ref: its kind (`branch`, `tag` or `ref`), its text, and whether it includes."""

    kind: str
    rule: str
    includes: bool


def deciding_rule(when: When, context: Context) -> DecidingRule | None:
    """Return the rule that decides whether `when` applies to the ref of `context`; None: no rule matches."""
    decided = None
    for kind, rules, text, holds in (
        ("branch", when.branch, context.branch, context.ref_type == "branch" and bool(context.branch)),
        ("tag", when.tag, context.tag, context.ref_type == "tag" and bool(context.tag)),
        ("ref", when.ref, context.ref, True),
    ):
        if rules is None or not holds:
            continue
        for includes, texts in ((True, rules.include), (False, rules.exclude)):
            found = next((rule for rule in texts if _ref_rule_matches(rule, text)), None)
            if found is not None:
                decided = DecidingRule(kind, found, includes)
    return decided


def _paths_agree(rules: Rules | None, changed_paths: Collection[str] | None) -> bool:
    if rules is None or changed_paths is None:
        return True
    include = [_path_expression(rule) for rule in rules.include]
    exclude = [_path_expression(rule) for rule in rules.exclude]
    return any(
        _searched(include, path, default=True) and not _searched(exclude, path, default=False) for path in changed_paths
    )


def path_matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a path matches one of some patterns (run-config.md, `paths`)."""
    expressions = [_path_expression(pattern) for pattern in patterns]
    return lambda path: _searched(expressions, path, default=False)


def _searched(expressions: Sequence[Any], text: str, *, default: bool) -> bool:
    return any(e.search(text) is not None for e in expressions) if expressions else default


def _ref_rule_matches(rule: str, text: str) -> bool:
    body = _expression_of(rule)
    return rule == text if body is None else _compiled(body).search(text) is not None


def _path_expression(rule: str) -> Any:
    body = _expression_of(rule)
    return _compiled(_glob_to_expression(rule) if body is None else body)


def _expression_of(rule: str) -> str | None:
    if len(rule) > 2 and rule[0] in "/#" and rule[-1] == rule[0]:
        return rule[1:-1]
    return None


def check_expression(rule: str) -> None:
    """Return what is wrong with a rule's regular expression, if it is one.

    Raises:
        ValueError: what is wrong, for a person.
    """
    body = _expression_of(rule)
    if body is None:
        return
    if re.search(r"\(\?<?[=!]", body):
        raise ValueError(
            "is not a regular expression of RE2: look-around is not supported, since matching takes linear time"
        )
    try:
        _compiled(body)
    except re2.error as cause:
        detail = cause.args[0]
        text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise ValueError(f"is not a regular expression of RE2: {text}") from cause


@lru_cache(maxsize=1024)
def _compiled(body: str) -> Any:
    options = re2.Options()
    # By default it logs to stderr.
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(body, options)


def _glob_to_expression(pattern: str) -> str:
    body, position = "", 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            body, position = body + "(?:.*/)?", position + 3
        elif pattern.startswith("**", position):
            body, position = body + ".*", position + 2
        elif pattern[position] == "*":
            body, position = body + "[^/]*", position + 1
        elif pattern[position] == "?":
            body, position = body + "[^/]", position + 1
        else:
            body, position = body + re.escape(pattern[position]), position + 1
    # The name of a folder matches the files in it.
    return rf"(?s)\A{body.rstrip('/')}(?:/.*)?\z"

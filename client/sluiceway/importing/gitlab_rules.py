"""`rules`, `only` and `except` of GitLab, as rules of `when`."""

from __future__ import annotations

import re
from typing import Any, Final

from sluiceway.importing.building import exact_or_expression
from sluiceway.importing.document import ANY, PULL_REQUESTS, Unsupported
from sluiceway.importing.yaml_values import Value, mapping, others, text, texts

_DEFAULT_BRANCH: Final = "main"


def when_of_rules(rules: list[dict[str, Value]], notes: list[str]) -> dict[str, Any]:
    """Return what rules say of refs and changes; an empty one: always.

    Raises:
        Unsupported: they say something else.
    """
    includes: dict[str, list[str]] = {}
    excludes: dict[str, list[str]] = {}
    paths: list[str] = []
    is_always = False
    for rule in rules:
        for key in others(rule, {"if", "when", "changes", "allow_failure", "variables", "needs"}):
            raise Unsupported(f"`rules: {key}`")
        if rule.get("variables"):
            notes.append("`rules: variables` has no counterpart")
        condition = " ".join(text(rule.get("if")).split())
        changes = (
            mapping(rule["changes"]).get("paths") if isinstance(rule.get("changes"), dict) else rule.get("changes")
        )
        found = _of_condition(condition)
        if text(rule.get("when")) == "never":
            if changes or not found:
                if found or changes:
                    raise Unsupported("`rules` with `changes` and `when: never`")
                break
            for field, each in found.items():
                excludes.setdefault(field, []).append(each)
            continue
        paths += texts(changes)
        if not found:
            is_always = not changes or is_always
            break
        for field, each in found.items():
            includes.setdefault(field, []).append(each)
    made: dict[str, Any] = {}
    if is_always and excludes and not includes:
        includes = {"branch": [ANY], "tag": [ANY], "ref": [PULL_REQUESTS]}
    for field in ("branch", "tag", "ref"):
        include, exclude = list(dict.fromkeys(includes.get(field, []))), excludes.get(field, [])
        if field == "ref" and exclude and exclude == include:
            continue
        if include and exclude:
            made[field] = {"include": include, "exclude": exclude}
        elif include and not (is_always and not excludes):
            made[field] = include[0] if len(include) == 1 else include
    if not includes and not is_always and not paths:
        made["branch"] = {"include": [], "exclude": [ANY]}
    if paths:
        made["paths"] = list(dict.fromkeys(paths))
    return made


def _of_condition(condition: str) -> dict[str, str]:
    """Return the rule for a ref that a condition is; an empty one: it always holds."""
    if not condition:
        return {}
    parts = [each.strip().strip("()").strip() for each in re.split(r"\|\|", condition)]
    made: dict[str, str] = {}
    for part in parts:
        found = _one_condition(part)
        if found.keys() & made.keys():
            raise Unsupported(f"`rules: if: {condition}`")
        made |= found
    return made


def _one_condition(part: str) -> dict[str, str]:
    fields = {"CI_COMMIT_BRANCH": "branch", "CI_COMMIT_REF_NAME": "branch", "CI_COMMIT_TAG": "tag"}
    if found := re.fullmatch(r"\$(\w+)", part):
        if found[1] in fields:
            return {fields[found[1]]: ANY}
        if found[1] == "CI_MERGE_REQUEST_IID":
            return {"ref": PULL_REQUESTS}
    if found := re.fullmatch(r"\$CI_PIPELINE_SOURCE\s*==\s*[\"'](\w+)[\"']", part):
        match found[1]:
            case "merge_request_event":
                return {"ref": PULL_REQUESTS}
            case "push":
                return {"branch": ANY, "tag": ANY}
    if re.fullmatch(r"\$CI_COMMIT_(BRANCH|REF_NAME)\s*==\s*\$CI_DEFAULT_BRANCH", part):
        return {"branch": _DEFAULT_BRANCH}
    if (found := re.fullmatch(r"\$(\w+)\s*==\s*[\"']([^\"']+)[\"']", part)) and found[1] in fields:
        return {fields[found[1]]: found[2]}
    if (found := re.fullmatch(r"\$(\w+)\s*=~\s*/(.+)/", part)) and found[1] in fields:
        return {fields[found[1]]: f"#{found[2]}#" if "/" in found[2] and "#" not in found[2] else f"/{found[2]}/"}
    raise Unsupported(f"`rules: if: {part}`")


def when_of_only(job: dict[str, Value]) -> dict[str, Any]:
    """Return what `only` and `except` say."""
    only, without = job.get("only"), job.get("except")
    if only is None and without is None:
        return {}
    made: dict[str, Any] = {}
    include, exclude = _refs(only), _refs(without)
    if only is None or (isinstance(only, dict) and "refs" not in only):
        include = {"branch": [ANY], "tag": [ANY]}
    for field in ("branch", "tag", "ref"):
        if field in include:
            rules = include[field]
            made[field] = {"include": rules, "exclude": exclude[field]} if field in exclude else rules
            if made[field] == {"include": [ANY], "exclude": [ANY]}:
                del made[field]
    changes = texts(mapping(only).get("changes")) if isinstance(only, dict) else []
    return {**made, **({"paths": changes} if changes else {})}


def _refs(value: Value) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    if isinstance(value, dict) and value.keys() - {"refs", "changes"}:
        raise Unsupported(f"`only` or `except` with `{next(iter(value.keys() - {'refs', 'changes'}))}`")
    for each in texts(value.get("refs") if isinstance(value, dict) else value):
        match each:
            case "branches" | "pushes":
                made.setdefault("branch", []).append(ANY)
            case "tags":
                made.setdefault("tag", []).append(ANY)
            case "merge_requests":
                made.setdefault("ref", []).append(PULL_REQUESTS)
            case "schedules" | "web" | "api" | "triggers" | "pipelines" | "chat" | "external":
                raise Unsupported(f"`only: {each}`")
            case _:
                found = re.fullmatch(r"/(.*)/i?", each)
                rule = f"/{found[1]}/" if found else exact_or_expression(each)
                made.setdefault("branch", []).append(rule)
                made.setdefault("tag", []).append(rule)
    return made

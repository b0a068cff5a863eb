"""When something applies, by table."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway_common.runconfig.when import Context, check_expression, matches
from sluiceway_common.runconfig.when_model import When

MAIN = Context(ref_type="branch", ref="refs/heads/main", branch="main")
FEATURE = Context(ref_type="branch", ref="refs/heads/feat/x", branch="feat/x")
TAG = Context(ref_type="tag", ref="refs/tags/v1.2", tag="v1.2")
PULL = Context(ref_type="pull_request", ref="refs/pull/7/head", pull_request_id="7")

ROWS: list[tuple[str, Any, Context, bool]] = [
    ("nothing-given", {}, MAIN, True),
    ("branch-equal", {"branch": "main"}, MAIN, True),
    ("branch-is-no-prefix", {"branch": "mai"}, MAIN, False),
    ("branch-list", {"branch": ["other", "main"]}, MAIN, True),
    ("branch-expression-is-searched", {"branch": "/ai/"}, MAIN, True),
    ("branch-expression-with-slash", {"branch": "#^feat/#"}, FEATURE, True),
    ("branch-expression-anchored", {"branch": "/^ai/"}, MAIN, False),
    ("branch-exclude-wins", {"branch": {"include": ["/.*/"], "exclude": ["main"]}}, MAIN, False),
    ("branch-exclude-of-another", {"branch": {"include": ["/.*/"], "exclude": ["main"]}}, FEATURE, True),
    ("only-excludes-never-match", {"branch": {"exclude": ["other"]}}, MAIN, False),
    ("include-as-one-text", {"branch": {"include": "main"}}, MAIN, True),
    ("branch-rule-on-a-tag", {"branch": "/.*/"}, TAG, False),
    ("branch-rule-on-a-pull-request", {"branch": "/.*/"}, PULL, False),
    ("tag-equal", {"tag": "v1.2"}, TAG, True),
    ("tag-rule-on-a-branch", {"tag": "/.*/"}, MAIN, False),
    ("branch-or-tag-on-a-branch", {"branch": "main", "tag": "/^v/"}, MAIN, True),
    ("branch-or-tag-on-a-tag", {"branch": "main", "tag": "/^v/"}, TAG, True),
    ("ref-on-a-pull-request", {"ref": "#^refs/pull/#"}, PULL, True),
    ("ref-on-a-branch", {"ref": "refs/heads/main"}, MAIN, True),
    ("ref-excludes-what-branch-included", {"branch": "main", "ref": {"exclude": "#refs/heads/#"}}, MAIN, False),
    ("one-sign-is-no-expression", {"branch": "/"}, MAIN, False),
    ("empty-lists", {"branch": []}, MAIN, False),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "context", "expected"), [pytest.param(*r[1:], id=r[0]) for r in ROWS])
def test_ref_rules(rules: Any, context: Context, expected: bool) -> None:
    assert matches(When.model_validate(rules).compiled(), context) is expected


PATHS: list[tuple[str, Any, list[str] | None, bool]] = [
    ("exact", "README.md", ["README.md"], True),
    ("exact-in-another-folder", "README.md", ["docs/README.md"], False),
    ("star-stays-in-a-folder", "*.md", ["docs/a.md"], False),
    ("two-stars-cross", "**/*.md", ["docs/deep/a.md"], True),
    ("two-stars-take-the-root-too", "**/*.md", ["a.md"], True),
    ("folder-means-what-is-in-it", "docs", ["docs/a/b.txt"], True),
    ("folder-with-slash", "docs/", ["docs/a/b.txt"], True),
    ("folder-is-no-prefix", "docs", ["docs2/a"], False),
    ("question-mark", "a?c", ["abc"], True),
    ("dot-is-a-dot", "a.c", ["abc"], False),
    ("expression", "/[0-9]+/", ["a/file7"], True),
    ("any-of-the-changed", ["src/**"], ["docs/a", "src/b"], True),
    ("exclude-only", {"exclude": "docs/**"}, ["docs/a"], False),
    ("exclude-only-and-another", {"exclude": "docs/**"}, ["docs/a", "src/b"], True),
    ("include-and-exclude", {"include": "src/**", "exclude": "**/*.md"}, ["src/a.md"], False),
    ("nothing-changed", "src", [], False),
    ("not-known", "src", None, True),
]


@pytest.mark.parametrize(("rules", "changed", "expected"), [pytest.param(*r[1:], id=r[0]) for r in PATHS])
def test_path_rules(rules: Any, changed: list[str] | None, expected: bool) -> None:
    assert matches(When.model_validate({"paths": rules}).compiled(), MAIN, changed) is expected


def test_ref_and_paths_must_both_agree() -> None:
    when = When.model_validate({"branch": "main", "paths": "src"}).compiled()
    assert matches(when, MAIN, ["src/a"])
    assert not matches(when, MAIN, ["docs/a"])
    assert not matches(when, FEATURE, ["src/a"])


@given(st.text("ab/#*?.[](){}|\\^$+-_0 é", max_size=30), st.text("ab/*?.[]é", max_size=30))
def test_no_rule_that_passed_its_check_fails_later(rule: str, text: str) -> None:
    try:
        when = When.model_validate({"branch": rule, "paths": rule}).compiled()
    except ValueError:
        return
    matches(when, Context(ref_type="branch", ref=text, branch=text), [text])


@given(
    st.text("ab/*?.", min_size=1, max_size=20).filter(
        lambda t: not t.endswith("/") and not (len(t) > 2 and t[0] == t[-1] == "/")
    )
)
def test_pattern_without_signs_matches_itself(text: str) -> None:
    plain = text.replace("*", "x").replace("?", "y")
    when = When.model_validate({"paths": plain}).compiled()
    assert matches(when, MAIN, [plain])


def test_expression_takes_linear_time() -> None:
    when = When.model_validate({"branch": "/^(a+)+$/"}).compiled()
    began = time.process_time()
    matches(when, Context(ref_type="branch", ref="x", branch="a" * 5000 + "b"))
    assert time.process_time() - began < 20  # backtracking takes years


@pytest.mark.parametrize("rule", ["/(?=a)/", "/(?<!a)b/", "/(?!a)/", "/(?<=a)b/"])
def test_look_around_is_named(rule: str) -> None:
    with pytest.raises(ValueError, match="look-around is not supported"):
        check_expression(rule)


@pytest.mark.parametrize("rule", ["/(/", r"/(a)\1/", "/a{1001}/", "/[/"])
def test_wrong_expression_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="is not a regular expression of RE2"):
        check_expression(rule)

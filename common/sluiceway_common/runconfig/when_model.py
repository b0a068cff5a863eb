"""The model of `when`: the branches, tags, refs and paths that a run, task or step is for.

Whether it matches is decided in `when`, without pydantic. Pure.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from sluiceway_common.runconfig import when
from sluiceway_common.runconfig.inputs import as_text
from sluiceway_common.runconfig.problems import describe_type, quoted
from sluiceway_common.runconfig.values import Model, fault, filled, without_nulls


def _rules(value: Any) -> Any:
    if isinstance(value, str):
        return {"include": [value]}
    if isinstance(value, list):
        return {"include": value}
    if not isinstance(value, dict | RefRules):
        raise fault(f"must be a string, a list or {{include, exclude}}, not {describe_type(value)}", unquoted=value)
    return value


def one_or_many(value: Any) -> Any:
    """Put a single string into a list; anything else stays as it is."""
    return [value] if isinstance(value, str) else value


def _rule_texts(value: Any) -> Any:
    if not isinstance(value, str | list):
        raise fault(f"must be a string or a list of strings, not {describe_type(value)}", unquoted=value)
    return one_or_many(value)


def _rule(value: str) -> str:
    try:
        when.check_expression(value)
    except ValueError as cause:
        raise fault(f"{quoted(value)} {cause}") from cause
    return filled(value)


RuleTexts = Annotated[list[Annotated[str, AfterValidator(_rule)]], BeforeValidator(_rule_texts)]


class RefRules(Model):
    """What is included, and what is excluded from that."""

    include: RuleTexts = Field(default_factory=list)
    exclude: RuleTexts = Field(default_factory=list)

    def compiled(self) -> when.Rules:
        """Return the rules as `when.matches` takes them."""
        return when.Rules(tuple(self.include), tuple(self.exclude))


def _input_rules(value: Any) -> Any:
    """Convert rules for the value of an input; numbers and booleans are texts there, as inputs of these types have."""
    if isinstance(value, bool | int | float):
        return {"include": [as_text(value)]}
    if isinstance(value, list):
        return {"include": [as_text(each) if isinstance(each, bool | int | float) else each for each in value]}
    return _rules(value)


InputRules = Annotated[RefRules, BeforeValidator(_input_rules)]
AnyRules = Annotated[RefRules, BeforeValidator(_rules)]


class When(Model):
    """When something applies; see the module `when`."""

    branch: AnyRules | None = None
    tag: AnyRules | None = None
    ref: AnyRules | None = None
    paths: AnyRules | None = None
    inputs: Annotated[dict[str, InputRules], BeforeValidator(without_nulls)] = Field(default_factory=dict)

    def compiled(self) -> when.When:
        """Return the rules as `when.matches` takes them."""
        inputs = {name: rules.compiled() for name, rules in self.inputs.items()}
        branch, tag, ref, paths = (r.compiled() if r else None for r in (self.branch, self.tag, self.ref, self.paths))
        return when.When(branch, tag, ref, paths, inputs)

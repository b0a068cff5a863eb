"""The model of the inputs that a run declares: values that whoever starts the run may choose.

What a value must be is decided in `inputs`, which the server and the command line use too. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from sluiceway.api.run.v1 import definition_pb2 as api
from sluiceway_common.runconfig import inputs
from sluiceway_common.runconfig.inputs import InputType
from sluiceway_common.runconfig.problems import quoted
from sluiceway_common.runconfig.values import Model, Text, choice, fault, without_nulls

_API_TYPES: Final = {
    InputType.STRING: api.INPUT_TYPE_STRING,
    InputType.NUMBER: api.INPUT_TYPE_NUMBER,
    InputType.BOOLEAN: api.INPUT_TYPE_BOOLEAN,
    InputType.CHOICE: api.INPUT_TYPE_CHOICE,
}


def _pattern(value: str) -> str:
    found = inputs.pattern_fault(value)
    if found is not None:
        raise fault(f"{quoted(value)} {found}")
    return value


def _name(value: str) -> str:
    found = inputs.name_fault(value)
    if found is not None:
        raise fault(f"{quoted(value)} {found}")
    return value


class Input(Model):
    """A value that whoever starts the run may choose."""

    type: Annotated[InputType, BeforeValidator(choice(InputType, "type"))] = InputType.STRING
    default: str | bool | int | float | None = None
    options: list[Text] = Field(default_factory=list, max_length=inputs.MAX_OPTIONS)
    pattern: Annotated[str, Field(min_length=1), AfterValidator(_pattern)] | None = None
    description: Text = ""
    required: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Input:
        found = inputs.declaration_fault(self.declared(""))
        if found is not None:
            raise fault(found[1], at=(found[0],) if found[0] else (), unquoted=self._unquoted(found[0]))
        return self

    def declared(self, name: str) -> api.Input:
        """Return the declaration as the API has it, without a value."""
        default = None
        if self.default is not None:
            # A boolean or number in place of a text is no text: "true" is not true.
            is_right = inputs.is_of_type(self.type, self.default)
            default = inputs.as_text(self.default) if is_right else inputs.NEVER_VALID
        return api.Input(
            name=name,
            type=_API_TYPES[self.type],
            default_value=default,
            options=self.options,
            pattern=self.pattern or "",
            description=self.description,
            required=self.required,
        )

    def _unquoted(self, field: str) -> Any:
        is_text = self.type in {InputType.STRING, InputType.CHOICE}
        return self.default if field == "default" and is_text and not isinstance(self.default, str) else None


Inputs = Annotated[
    dict[Annotated[str, AfterValidator(_name)], Input],
    BeforeValidator(without_nulls),
    Field(default_factory=dict, max_length=inputs.MAX_INPUTS),
]


def values_for_jsonnet(declared: list[Any], given: Mapping[str, str]) -> dict[str, str | float | bool]:
    """Return `ctx.inputs` for the `inputs` of the runs of a document; what is malformed in them is left out.

    Args:
        declared: the `inputs` of each run that has some.
        given: values by name; those that are not allowed are passed over.
    """
    values: dict[str, str | float | bool] = {}
    for run in declared:
        for name, body in run.items() if isinstance(run, dict) else ():
            try:
                one = Input.model_validate(body).declared(name)
            except ValidationError:
                continue
            values.setdefault(name, inputs.typed(one, inputs.value_of(one, given)))
    return values

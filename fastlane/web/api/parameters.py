"""The parameters of a job: how bodies declare them, how a run gives their values, and how answers show both."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError

from fastlane.log import MASK
from fastlane.models.container import read_boolean
from fastlane.models.job import Job, Spec
from fastlane.models.parameter import MAX_PATTERN, PATTERN_FORMS, Parameter, read_pattern
from fastlane.web.api import json_schema, values
from fastlane.web.api.body import BodyField, BodyObject, array, attribute_of, list_of
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.api.serializer import Field, FieldPlacement, RenderContext

MAX_PARAMETERS = 50
MAX_CHOICES = 100
MAX_VALUES_BYTES = 64 * 1024
"""Bytes of all values of a run together, and of all that a job declares."""
NAMES: JsonSchema = {"propertyNames": {**values.ENVS["propertyNames"], "maxLength": values.MAX_NAME}, "maxProperties": MAX_PARAMETERS}


def _value(value: object) -> str:
    """A value as the container gets it: a number or a truth value is written as JSON has it."""
    if not isinstance(value, str | int | float):
        raise ValueError("is not text, a number or a boolean; put it in quotes, or leave it out")
    try:
        return values.read_envs({"VALUE": value})["VALUE"]
    except ValidationError as error:
        raise ValueError(error.messages_dict["VALUE"][0]) from None


_FLAG = {"type": "boolean"}
_LINE = values.line_of(values.MAX_NAME, "description", "the release to install")
_CHOICES = list_of(_value, MAX_CHOICES, '"small", "large"')
PARAMETER_BODY = BodyObject(
    "a parameter",
    "",
    False,
    description=BodyField(_LINE, values.line_schema(values.MAX_NAME), "For people."),
    default=BodyField(_value, values.VARIABLE, "Its value in a run that gives none."),
    required=BodyField(read_boolean, _FLAG, "Whether a run must give it, if it has no default."),
    choices=BodyField(_CHOICES, array(values.VARIABLE, MAX_CHOICES, minItems=1), "All values that it may have."),
    pattern=BodyField(read_pattern, json_schema.text(MAX_PATTERN), f"What its value matches as a whole: {PATTERN_FORMS}."),
    secret=BodyField(read_boolean, _FLAG, "Whether its values are hidden from everyone."),
)
PARAMETERS_SCHEMA: JsonSchema = {
    "type": "object",
    **NAMES,
    "additionalProperties": PARAMETER_BODY.schema,
    "examples": [{"VERSION": {"description": "The release", "pattern": "v[0-9]+"}, "SIZE": {"default": "small"}}],
}
VALUES_SCHEMA: JsonSchema = {"type": "object", **NAMES, "additionalProperties": values.VARIABLE}


def read_parameters(value: object) -> dict[str, Parameter]:
    """The declared parameters by name. Raises as a reader does."""
    if not isinstance(value, dict):
        raise ValueError('is not an object; write {"NAME": {"description": "what it is for"}}')
    if len(value) > MAX_PARAMETERS:
        raise ValueError(f"has more than {MAX_PARAMETERS} parameters; leave some out")
    if len(json.dumps(value)) > MAX_VALUES_BYTES:
        raise ValueError(f"is longer than {MAX_VALUES_BYTES >> 10} KiB in all; give fewer choices, or shorter texts")
    found: dict[str, Parameter] = {}
    faults: dict[str, Any] = {}
    for name, given in value.items():
        try:
            if fault := values.variable_name_fault(name):
                raise ValueError(fault)
            if len(name) > values.MAX_NAME:
                raise ValueError(f"has a name of more than {values.MAX_NAME} characters; choose a shorter one")
            found[name] = _parameter(given)
        except ValidationError as error:
            faults[name] = error.messages
        except ValueError as error:
            faults[name] = [str(error)]
    if faults:
        raise ValidationError(faults)
    return found


def _parameter(value: object) -> Parameter:
    given = {attribute_of(name): part for name, part in PARAMETER_BODY.read(value).items()}
    if given.get("choices") == ():
        raise ValidationError({"choices": ["is empty, so nothing could be chosen; leave it out"]})
    parameter = Parameter(**given)
    if parameter.secret and parameter.choices:
        raise ValidationError({"choices": ["cannot be used together with secret, since everyone sees the choices; keep one of them"]})
    if parameter.default is not None and (fault := parameter.fault(parameter.default)):
        raise ValidationError({"default": [fault]})
    if any(parameter.fault(choice) for choice in parameter.choices):
        raise ValidationError({"choices": ["has what does not match the pattern; keep one of the two rules"]})
    return parameter


def read_values(value: object) -> dict[str, str]:
    """The values that a run is given, by name. Raises as a reader does."""
    found = values.read_envs(value)
    if sum(len(name) + len(given.encode()) for name, given in found.items()) > MAX_VALUES_BYTES:
        raise ValueError(f"is longer than {MAX_VALUES_BYTES >> 10} KiB in all; put long texts into a file, and name that")
    return found


RUN_BODY = BodyObject(
    "a run",
    "Run",
    False,
    True,
    parameters=BodyField(read_values, VALUES_SCHEMA, "Values of the job's parameters, by name; the container has them as variables."),
    reschedule=BodyField(read_boolean, _FLAG, "Whether it takes the place of the job's next tick, which the ledger then shows as skipped."),
)
"""The body of ``POST …/run``, which may be left out."""
RETRY_BODY = BodyObject(
    "a retry",
    "Retry",
    False,
    True,
    image=BodyField(values.read_image, json_schema.IMAGE, "Another image instead of the one that it ran."),
)
"""The body of ``POST …/executions/E/retry``, which may be left out."""


def _shown(parameters: Mapping[str, Parameter], render: RenderContext) -> dict[str, Any]:
    """Parameters as they are declared, without what is secret."""
    return {name: _shown_parameter(name, parameter, render) for name, parameter in parameters.items()}


def _shown_parameter(name: str, parameter: Parameter, render: RenderContext) -> dict[str, Any]:
    def shown(value: str) -> str:
        return MASK if parameter.secret or render.redaction.is_secret(name) else render.redaction.text(value)

    found = {
        "description": parameter.description,
        "default": None if parameter.default is None else shown(parameter.default),
        "required": parameter.required or None,
        "choices": [shown(choice) for choice in parameter.choices] or None,
        "pattern": parameter.pattern,
        "secret": parameter.secret or None,
    }
    return {key: value for key, value in found.items() if value is not None}


ABOUT = "Values that a run may be given, by name. Secret ones are shown as ********."
_ANSWER: JsonSchema = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "default": {"type": "string"},
            "required": _FLAG,
            "choices": {"type": "array", "items": {"type": "string"}},
            "pattern": {"type": "string"},
            "secret": _FLAG,
        },
    },
}


def _answered(read: Callable[[Any], Mapping[str, Parameter]], *, optional: bool) -> Field[Any]:
    def show(value: Any, render: RenderContext) -> dict[str, Any] | None:
        return _shown(read(value), render) or (None if optional else {})

    return Field({**_ANSWER, "description": ABOUT}, show, FieldPlacement.OPTIONAL if optional else FieldPlacement.RENDERED)


DEFINED: Field[Job] = _answered(lambda job: job.spec.parameters, optional=True)
SHOWN: Field[Spec] = _answered(lambda spec: spec.parameters, optional=False)

"""One declaration makes the JSON and the schema, and the two agree."""

from dataclasses import dataclass

import orjson
import pytest
from jsonschema import Draft202012Validator

from fastlane.web.api.serializer import (
    RenderContext,
    Serializer,
    array,
    boolean,
    enum,
    envs,
    flattened,
    integer,
    mapping,
    message,
    nested,
    number,
    seconds,
    string,
    strings,
    table,
    timestamp,
    url,
    variants,
)

CONTEXT = RenderContext("http://x", ("password",))


@dataclass
class Thing:
    name: str | None = "a"
    size: int | None = 1
    inner: "Thing | None" = None


INNER = Serializer[Thing]("Inner", "Inside.", name=string(lambda thing: thing.name, null=True))


def json_of(serializer, value=None):
    return orjson.dumps(serializer.serialize(value or Thing(), CONTEXT)).decode()


def schema_of(serializer):
    definitions = {one.name: one.schema for one in serializer.family()}
    return {**serializer.schema, "components": {"schemas": definitions}}


def test_keys_keep_their_order_and_flattened_ones_stand_where_they_are_declared():
    outer = Serializer[Thing](
        "Outer", "", first=integer(lambda thing: thing.size), inner=flattened(INNER, lambda thing: thing), last=boolean(lambda _: True)
    )
    assert json_of(outer) == '{"first":1,"name":"a","last":true}'
    assert list(outer.schema["properties"]) == ["first", "name", "last"]
    assert outer.schema["required"] == ["first", "name", "last"]


@dataclass
class Circle:
    radius: int | None = None


@dataclass
class Square:
    side: int = 2


def test_the_keys_of_variants_depend_on_the_type_of_the_part_and_none_is_required():
    known = {
        Circle: {"radius": integer(lambda circle: circle.radius, null=True), "size": number(lambda _: 1.0, "")},
        Square: {"size": integer(lambda square: square.side), "corners": array(INNER, lambda _: [Thing()])},
    }
    shape = Serializer("Shape", "", id=integer(lambda _: 1), part=variants(lambda value: value[0], known))
    made = [json_of(shape, (part,)) for part in (Circle(), Square(), None)]
    assert made == ['{"id":1,"radius":null,"size":1}', '{"id":1,"size":2,"corners":[{"name":"a"}]}', '{"id":1}']
    assert list(shape.schema["properties"]) == ["id", "radius", "size", "corners"]
    assert (shape.schema["required"], shape.schema["additionalProperties"]) == (["id"], True)
    assert [one.name for one in shape.family()] == ["Shape", "Inner"]


def test_an_optional_key_is_left_out_without_a_value_and_is_not_required():
    serializer = Serializer[Thing]("A", "", name=string(lambda thing: thing.name, optional=True), size=integer(lambda thing: thing.size))
    assert json_of(serializer, Thing(name=None)) == '{"size":1}'
    assert json_of(serializer) == '{"name":"a","size":1}'
    assert serializer.schema["required"] == ["size"]


EVERY_TYPE = Serializer[Thing](
    "Every",
    "Each type of field.",
    text=string(lambda thing: thing.name, null=True),
    word=enum(("a", "b"), lambda thing: "b"),
    moment=timestamp(lambda thing: thing.size, "When.", null=True),
    whole=integer(lambda thing: thing.size, null=True),
    number=number(lambda thing: 2.0, "How much."),
    half=number(lambda thing: 0.5, "How much."),
    duration=seconds(lambda thing: 1_500, "How long."),
    whole_duration=seconds(lambda thing: 2_000, "How long."),
    no_duration=seconds(lambda thing: None, "How long."),
    flag=boolean(lambda thing: None, null=True),
    words=strings(lambda thing: ("a", "b")),
    data=mapping(lambda thing: {"a": [1]}),
    link=url(lambda thing, render: render.job_url("t", "j"), "Where."),
    variables=envs(lambda thing: {"A": "1", "DB_PASSWORD": "secret"}),
    error=message(lambda thing: "it said secret", lambda thing: {"DB_PASSWORD": "secret"}, "What it said."),
    one=nested(INNER, lambda thing: thing.inner, null=True),
    many=array(INNER, lambda thing: [thing, thing]),
    by_name=table(INNER, lambda thing: {"x": thing}, "By name."),
)


def test_each_type_of_field_makes_its_json():
    assert EVERY_TYPE.serialize(Thing(), CONTEXT) == {
        "text": "a",
        "word": "b",
        "moment": "1970-01-01T00:00:00.001Z",
        "whole": 1,
        "number": 2,
        "half": 0.5,
        "duration": 1.5,
        "whole_duration": 2,
        "no_duration": None,
        "flag": None,
        "words": ["a", "b"],
        "data": {"a": [1]},
        "link": "http://x/tasks/t/jobs/j/",
        "variables": {"A": "1", "DB_PASSWORD": "********"},
        "error": "it said ********",
        "one": None,
        "many": [{"name": "a"}, {"name": "a"}],
        "by_name": {"x": {"name": "a"}},
    }
    assert '"number":2,' in json_of(EVERY_TYPE)
    assert '"whole_duration":2,' in json_of(EVERY_TYPE)


@pytest.mark.parametrize("thing", [Thing(), Thing(None, None, Thing(None))])
def test_what_each_type_makes_is_valid_by_its_schema(thing):
    found = orjson.loads(json_of(EVERY_TYPE, thing))
    assert list(Draft202012Validator(schema_of(EVERY_TYPE)).iter_errors(found)) == []


def test_the_schema_refuses_other_keys_and_null_where_it_is_not_declared():
    schema = schema_of(Serializer[Thing]("A", "What.", name=string(lambda thing: thing.name)))
    assert schema["description"] == "What."
    assert not Draft202012Validator(schema).is_valid({"name": None})
    assert not Draft202012Validator(schema).is_valid({"name": "a", "other": 1})
    assert not Draft202012Validator(schema).is_valid({})


def test_a_family_has_the_serializers_at_every_depth():
    outer = Serializer[Thing]("Outer", "", inner=flattened(Serializer[Thing]("Middle", "", x=nested(INNER, lambda t: t)), lambda t: t))
    assert [one.name for one in outer.family()] == ["Outer", "Inner"]

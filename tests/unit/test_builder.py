"""What is made for the package: the client's types, and its half without asyncio."""

import os
import re
import shutil

import pytest

from builder import backend, client
from builder.backend import dependencies, get_requires_for_build_editable, get_requires_for_build_wheel
from builder.client import NAMES, Types, contract, without_asyncio
from tests.unit.web.test_document import DOCUMENT


def document(**schemas):
    """A document with these schemas, of objects with these fields, and no routes."""
    found = {name: {"type": "object", "description": name, "properties": fields} for name, fields in schemas.items()}
    return {"components": {"schemas": found}, "paths": {}}


def inner(**fields):
    return {"type": "object", "properties": {name: {"type": type} for name, type in fields.items()}}


def fields(types, name):
    """The lines of a type's fields."""
    return [row.strip().replace("NotRequired", "") for row in types.classes[name][0]]


def test_what_is_generated_is_that_of_the_code():
    files = {path: path.read_text("utf-8") for path in (client.CONTRACT, *client.SYNCHRONOUS.glob("*.py"))}
    assert files == client.made(), "make it: .venv-test/bin/python -m builder.client"


def test_equal_objects_inside_others_are_one_type():
    types = Types(document(A={"one": inner(x="string"), "two": inner(x="string"), "three": inner(y="string")}))
    assert fields(types, "A") == ["one: [AOne]", "two: [AOne]", "three: [AThree]"]
    assert set(types.classes) == {"A", "AOne", "AThree"}


def test_members_of_a_union_are_named_after_what_tells_them_apart():
    kinds = [{"type": "object", "properties": {"kind": {"const": kind}, kind: {"type": "string"}}} for kind in ("file", "link")]
    types = Types(document(A={"b": {"anyOf": [{"type": "string"}, *kinds]}}))
    assert fields(types, "A") == ["b: [str | ABFile | ABLink]"]


def test_members_of_a_union_that_nothing_tells_apart_need_names():
    union = {"anyOf": [inner(x="string"), inner(y="string")]}
    with pytest.raises(ValueError, match="two types would have the name AB"):
        Types(document(A={"b": union}))


def test_equal_lists_of_words_are_one_type():
    words = {"type": ["string", "null"], "enum": ["a", "b", None]}
    types = Types(document(A={"one": words}, B={"two": words}))
    assert types.aliases == {"AOne": '"a", "b"'}
    assert fields(types, "B") == ["two: [AOne | None]"]


def test_each_name_that_is_given_is_of_a_type_and_no_type_has_a_number_for_a_name():
    types = Types(DOCUMENT)
    assert types.given == set(NAMES)
    assert not [name for name in (*types.aliases, *types.classes) if re.search(r"\d", name)]


def test_types_say_what_they_are():
    assert '"""The body of enqueue, putJob."""' in contract(DOCUMENT)
    assert all(words for _, words in Types(DOCUMENT).classes.values())


def test_the_client_without_asyncio_has_no_word_of_it():
    for path in client.SYNCHRONOUS.glob("*.py"):
        assert not re.search(r"\basync |await |\bAsync|import asyncio|asyncio\.", path.read_text("utf-8")), path.name


def test_words_are_exchanged_only_where_they_are_code():
    source = 'async def a(self) -> AsyncGenerator[tuple[str, int], None]:\n    """Waits (see await)."""\n    await asyncio.sleep(1)\n'
    plain = 'def a(self) -> Generator[tuple[str, int], None, None]:\n    """Waits (see await)."""\n    time.sleep(1)\n'
    assert without_asyncio(source) == plain


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one module, and a client that has just been made."""
    for name, path in {"CONTRACT": "contract.py", "ASYNCHRONOUS": "asynchronous", "SYNCHRONOUS": "synchronous"}.items():
        monkeypatch.setattr(client, name, tmp_path / "fastlane/client" / path)
    monkeypatch.setattr(client, "ROOT", tmp_path)
    monkeypatch.setattr(client, "openapi", lambda: DOCUMENT)
    client.ASYNCHRONOUS.mkdir(parents=True)
    (client.ASYNCHRONOUS / "transport.py").write_text("import asyncio\n")
    (tmp_path / "fastlane/web.py").touch()
    for path in tmp_path.rglob("*.py"):
        os.utime(path, (1e9, 1e9))
    client.make()
    return tmp_path


def test_what_is_missing_or_older_than_the_code_is_made_again(checkout):
    assert not client.is_stale()
    os.utime(checkout / "fastlane/web.py")
    client.SYNCHRONOUS.joinpath("transport.py").unlink()
    assert client.is_stale()
    client.make()
    assert client.SYNCHRONOUS.joinpath("transport.py").read_text().startswith("# Made from fastlane/client/asynchronous/transport.py")
    assert client.CONTRACT.stat().st_mtime >= checkout.joinpath("fastlane/web.py").stat().st_mtime


def test_a_module_that_was_renamed_leaves_nothing_behind(checkout):
    (client.ASYNCHRONOUS / "transport.py").rename(client.ASYNCHRONOUS / "wire.py")
    assert client.is_stale()
    client.make()
    assert [path.name for path in client.SYNCHRONOUS.iterdir()] == ["wire.py"]


def test_a_build_by_pipx_which_hides_the_current_directory_makes_the_client(tmp_path, monkeypatch):
    made = shutil.ignore_patterns("contract.py", "synchronous", "__pycache__")
    for folder in ("builder", "fastlane"):
        shutil.copytree(backend.ROOT / folder, tmp_path / folder, ignore=made)
    shutil.copy(backend.ROOT / "fastlane/web/api/contract.py", tmp_path / "fastlane/web/api/contract.py")
    monkeypatch.setattr(backend, "ROOT", tmp_path)
    monkeypatch.setattr(backend.shutil, "which", lambda _: None)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    backend.make()
    assert "class FailedJob" in (tmp_path / "fastlane/client/contract.py").read_text("utf-8")
    assert (tmp_path / "fastlane/client/synchronous/client.py").is_file()


def test_a_build_needs_what_running_needs():
    assert "apispec >=6.8" in dependencies()
    for required in (get_requires_for_build_wheel(), get_requires_for_build_editable()):
        assert set(dependencies()) <= set(required)

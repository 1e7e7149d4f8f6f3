"""What every store promises of the images that engines pulled, and of those that executions under way need."""

import asyncio
from dataclasses import replace

from fastlane.models.image import PulledImage
from fastlane.models.status import UNDER_WAY, Status
from tests.contract.stored import created, types_in
from tests.support.factories import make_spec

DIGEST = "sha256:" + "a" * 64
IMAGE = PulledImage("engine", f"registry:5000/name@{DIGEST}", 5)


async def test_an_image_is_kept_whole_and_listed_with_its_own_engines_others_by_reference(store, open_store):
    first = replace(IMAGE, reference=f"a/name@{DIGEST}")
    for image in (IMAGE, first, replace(IMAGE, engine_id="engine2"), replace(IMAGE, engine_id="engin")):
        assert await store.write_image(image)
    taken = IMAGE.taken(9)
    assert await store.write_image(taken)
    found = list(await (await open_store()).pulled_images("engine"))
    assert found == [first, taken]
    assert types_in(found) == types_in([first, taken])
    assert list(await store.pulled_images("none")) == []


async def test_an_image_is_inserted_once(store, open_store):
    answers = await asyncio.gather(store.write_image(IMAGE), (await open_store()).write_image(IMAGE))
    assert sorted(answers) == [False, True]


async def test_a_change_needs_the_version_before_it_and_of_two_at_once_one_wins(store, open_store):
    assert not await store.write_image(IMAGE.kept(9))
    assert await store.write_image(IMAGE)
    assert not await store.write_image(IMAGE.kept(9).kept(9))
    changes = [IMAGE.kept(9), IMAGE.taken(8)]
    other = await open_store()
    answers = await asyncio.gather(store.write_image(changes[0]), other.write_image(changes[1]))
    assert sorted(answers) == [False, True]
    assert list(await store.pulled_images("engine")) == [changes[answers.index(True)]]


async def test_a_row_is_dropped_at_its_version_only(store):
    assert not await store.drop_image(IMAGE)
    others = [replace(IMAGE, reference="other"), replace(IMAGE, engine_id="engine2")]
    for image in (IMAGE, *others):
        await store.write_image(image)
    assert not await store.drop_image(IMAGE.kept(9))
    assert await store.drop_image(IMAGE)
    assert [*await store.pulled_images("engine"), *await store.pulled_images("engine2")] == others
    assert await store.write_image(IMAGE)


async def test_images_that_nothing_kept_for_long_are_forgotten(store):
    for image in (IMAGE, replace(IMAGE, engine_id="engine2", keep_until=7), replace(IMAGE, engine_id="engine3", keep_until=8).taken(9)):
        await store.write_image(replace(image, version=1))
    assert await store.prune_images(8) == 2
    assert [len(await store.pulled_images(engine)) for engine in ("engine", "engine2", "engine3")] == [0, 0, 1]
    assert await store.prune_images(8) == 0


async def test_the_images_under_way_are_those_of_no_other_executions(store):
    assert await store.images_under_way() == frozenset()
    for status in Status:
        await created(store, status=status, spec=make_spec(image=f"image-{status}"), image_reference=f"chosen-{status}@{DIGEST}")
    await created(store, status=Status.ENQUEUED, spec=make_spec(image="not-chosen"))
    await created(store, status=Status.ENQUEUED, spec=make_spec(image="not-chosen"))
    wanted = {f"image-{status}" for status in UNDER_WAY} | {f"chosen-{status}@{DIGEST}" for status in UNDER_WAY} | {"not-chosen"}
    assert await store.images_under_way() == wanted

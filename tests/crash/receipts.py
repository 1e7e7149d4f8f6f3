"""The scenario of receipts: a worker falls between two seals of a chain, before its end is written, or before the look is."""

from collections.abc import Mapping

from fastlane.models.receipt import SealKeys, SealKind
from fastlane.sealing import Sealing
from fastlane.services.receipts import Receipts
from tests.crash.ground import Ground
from tests.crash.scenarios import Scenario

KEY = "0123456789abcdef" * 4


class Sealed(Scenario):
    """A job that runs once: its execution and its tick get one seal each, whoever appends them."""

    settings: Mapping[str, str] = {"RECEIPT_KEYS": KEY}

    async def before(self, ground: Ground) -> None:
        await Sealing(ground.store, ground.clock, SealKeys([KEY])).look()
        await ground.enqueue()

    async def check(self, ground: Ground) -> None:
        await super().check(ground)
        row = await ground.row()

        async def whole() -> bool:
            head = await ground.store.seals.head(row.job_id)
            place = await ground.store.seals.place()
            return head is not None and head.number == 2 and place is not None and place.ends["id"] == row.id

        await ground.until(whole, "a whole chain")
        seals = await ground.store.seals.after(row.job_id, 0, 10)
        assert [(seal.kind, seal.row) for seal in seals] == [(SealKind.EXECUTION, row.id), (SealKind.TICK, row.tick_id)]
        part = await Receipts(ground.store, ground.clock, SealKeys([KEY])).check(row.task_id, row.job_id)
        assert (part.seals, list(part.faults)) == (2, []), await ground.told()

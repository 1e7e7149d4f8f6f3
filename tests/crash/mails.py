"""An execution whose end is told by mail: it arrives at least once, always with one Message-ID, and its quota is used once."""

from collections.abc import Mapping, Sequence

from fastlane.models.delivery import MailQuota, quota_id
from fastlane.models.notify import Mailbox, NotificationTrigger
from tests.crash.ground import Ground
from tests.crash.scenarios import Scenario, ended
from tests.crash.webhooks import delivered
from tests.support.mail_server import Server, mail_server
from tests.support.seams import Trip

ADDRESS = "team@example.com"


class Mailed(Scenario):
    """Its end is told by a mail to one address."""

    settings: Mapping[str, str] = {
        **{"SMTP_HOST": "localhost", "SMTP_TLS": "none", "SMTP_FROM": "fastlane@example.org", "SMTP_TIMEOUT": "2s"},
        "NOTIFY_ALLOW": "example.com",
    }
    server: Server

    async def run(self, ground: Ground, trips: Sequence[Trip]) -> None:
        async with mail_server() as self.server:
            ground.installation.settings["SMTP_PORT"] = str(self.server.port)
            await super().run(ground, trips)

    async def before(self, ground: Ground) -> None:
        await ground.enqueue(notify=(Mailbox(NotificationTrigger.FAILS, ADDRESS),))

    async def check(self, ground: Ground) -> None:
        await ended(ground)
        row = await ground.row()
        delivery = await delivered(ground, row.id)
        assert {str(one.mail["Message-ID"]) for one in self.server.received} == {f"<{delivery.id}@example.org>"}, await ground.told()
        quota = await ground.store.mail_quota(quota_id(row.job_id, ADDRESS))
        assert quota is not None
        assert quota == MailQuota(quota.id, row.id, quota.told_at)

"""What a running server reads again when its file changes: users and tokens, and the certificate of TLS."""

import asyncio

import structlog
from tornado.web import Application

from fastlane.config.access_files import AccessFiles
from fastlane.errors import Invalid
from fastlane.web.server.application import context_of
from fastlane.web.server.file_watch import FileWatch

log = structlog.get_logger()


def access_watch(app: Application, access: AccessFiles) -> FileWatch | None:
    """Watches the files of users and tokens. None for a server that started without any: it lets everyone in until it is started again."""
    context = context_of(app)
    authenticator = context.authenticator
    if authenticator is None:
        return None

    async def reload() -> None:
        try:
            found = await asyncio.to_thread(access.read)
        except Invalid as error:
            log.error("access.not_reloaded", faults=[str(fault) for fault in error.faults])
            return
        revoked = authenticator.replace(found.users, found.tokens)
        context.services.followers.revoke(revoked)
        log.info("access.reloaded", users=len(found.users), tokens=len(found.tokens), changed_or_gone=len(revoked))

    return FileWatch(access.files, access.seen, reload)

"""The types of the settings of what fastlane measures and tells others of: usage, figures by task, traces, reports of errors."""

import re
from urllib.parse import urlsplit

from fastlane.config.types import SettingType, read_stripped_text
from fastlane.log import MASK, scrub

_DSN = re.compile(r"https?://[^\s@/:]+(:[^\s@/]+)?@[^\s@/?#]+/[^\s?#]*[0-9]+", re.ASCII)


def _collector_url(value: object) -> str:
    text = read_stripped_text(value)
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or len(text.split()) != 1:
        raise ValueError("is not the URL of a collector; write http://HOST:4318/v1/traces, or with https")
    return text


def _sentry_dsn(value: object) -> str:
    text = read_stripped_text(value)
    if not _DSN.fullmatch(text):
        raise ValueError("is not a DSN of Sentry; write https://KEY@HOST/PROJECT, as the project's settings there have it")
    return text


COLLECTOR_URL = SettingType(_collector_url, scrub)
SENTRY_DSN = SettingType(_sentry_dsn, lambda dsn: re.sub("//[^@]*@", f"//{MASK}@", dsn))

"""The type of the setting ``min_free_disk``: bytes, or percent of a disk."""

import re

from fastlane.config.types import SettingType
from fastlane.errors import quoted
from fastlane.models.container.options import read_size, show_size
from fastlane.models.placement.disk import Reserve

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) *%", re.ASCII)


def _reserve(value: object) -> Reserve:
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None and float(found[1]) < 100:
        return Reserve(part=float(found[1]) / 100)
    try:
        return Reserve(read_size(value, 0))
    except ValueError:
        raise ValueError(f'{quoted(value)} is not a part of a disk; write "512MiB", "5%" (below 100%), or 0 to turn it off') from None


def _show_reserve(reserve: Reserve) -> str:
    return f"{reserve.part * 100:g}%" if reserve.part else show_size(reserve.size) if reserve.size else "0"


RESERVE = SettingType(_reserve, _show_reserve)

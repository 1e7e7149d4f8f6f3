"""Eight clients at each script at once: the races that ``test_queue_races`` does not run, and after each that every entry stands in one place.

``RACES`` names, for each script, the race that is there for its sake.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import cbor2  # noqa
import pytest

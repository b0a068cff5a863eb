"""The caches of one server, and the weight of what is in them.

A message takes many times its encoding in memory: a task of 325 bytes takes 2.6 kB as a message, and 900 bytes more
with its body, key, revision and place in a cache. So caches are bounded by *weights*: upper estimates of resident
memory, which `tests/contract/datamanager/test_cache_weights.py` measures. The limits of one server add up to less than
100 MB, whatever the number of records:

    records of the writer       15 MiB    RECORD_CACHE_BYTES
    change groups                2 MiB    GROUP_CACHE_BYTES
    messages of the readers      8 MiB    MESSAGE_CACHE_BYTES
    newest transactions          8 MiB    `DataManagerSettings.ring_bytes`
    blocks of data files         6 MiB    FILE_CACHE_BYTES
    SQLite, writer              12 MiB    WRITER_PAGE_BYTES
    SQLite, each of 4 readers    2 MiB    READER_PAGE_BYTES
    running runs                24 MiB    `sluiceway_server.runs.cache`
    large configurations        12 MiB    `sluiceway_server.runs.configs`

In addition each read of old records has up to 8 MiB of their bodies (`AT_HAND_BYTES`) while it runs; at most four reads
and four transactions do so at one time (`READS_OF_OLD_RECORDS`). Larger caches are of little use: a running run touches
the same records again and again, and the operating system caches the pages of the replica.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

_MIB = 1024 * 1024

RECORD_CACHE_BYTES = 15 * _MIB
GROUP_CACHE_BYTES = 2 * _MIB
MESSAGE_CACHE_BYTES = 8 * _MIB
FILE_CACHE_BYTES = 6 * _MIB
AT_HAND_BYTES = 8 * _MIB
READS_OF_OLD_RECORDS = 4
WRITER_PAGE_BYTES = 12 * _MIB
READER_PAGE_BYTES = 2 * _MIB

WEIGHT_OF_KEY = 400
"""Of an item in an `Lru` with its key and a revision."""

K = TypeVar("K")
V = TypeVar("V")


def weight_of_message(size: int) -> int:
    """Return the weight of a message whose encoding has `size` bytes, without the encoding."""
    return 1700 + 9 * size


def weight_of_version(size: int) -> int:
    """Return the weight of a record with revision, message and encoding in an `Lru`."""
    return WEIGHT_OF_KEY + 150 + size + weight_of_message(size)


def weight_of_transaction(size: int) -> int:
    """Return the weight of a transaction of `size` bytes with its messages and their encodings."""
    return 1000 + 8 * size


def weight_of_block(size: int, records: int) -> int:
    """Return the weight of a decoded block of `size` bytes (not compressed) in an `Lru`."""
    return WEIGHT_OF_KEY + 1000 + size + 180 * records


def weight_of_footer(blocks: int, text: int) -> int:
    """Return the weight of a decoded footer in an `Lru`; `text` is the length of all its ids."""
    return WEIGHT_OF_KEY + 1000 + text + 220 * blocks


class Lru(Generic[K, V]):
    """The most recently used values, up to a total weight; the newest is kept whatever it weighs.

    Used by one thread at a time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.weight = 0
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return a value and mark it as used."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Store a value, and evict the least recently used ones above the limit."""
        old = self._values.pop(key, None)
        self.weight += weight - (old[1] if old else 0)
        self._values[key] = (value, weight)
        while self.weight > self._limit and len(self._values) > 1:
            _, (_, freed) = self._values.popitem(last=False)
            self.weight -= freed

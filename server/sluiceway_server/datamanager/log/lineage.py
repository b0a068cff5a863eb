r"""The lineage: which entries, of all that were ever written, are the history of the database. Pure.

Every epoch but the first says which entry of which epoch it continues from. So the history is found from its end: from
the present epoch back through the entries that were accepted. Everything else is *void*: entries of an epoch after the
accepted one, and epochs that no later one continues from (a recovery that was overtaken). A void entry is reported and
never applied, and a manifest that ends at one is not used.

    epoch 1   1 2 3 4 5 6 7
                      |  \_ void: 5 6 7
    epoch 2           4 -> 1 2 3
                               |
    epoch 4                    3 -> 1 2 ...         (epoch 3 was begun and abandoned)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sluiceway_server.datamanager.model import LogSequence


@dataclass(frozen=True, slots=True)
class Lineage:
    """The history.

    Attributes:
        epochs: its epochs, oldest first; the last one is the present one.
        ends: the last entry of each but the present epoch (and of that, after `until`). Counter 0: none.
    """

    epochs: tuple[int, ...]
    ends: Mapping[int, LogSequence]

    @staticmethod
    def of(accepted: Mapping[int, LogSequence | None], present: int) -> Lineage:
        """Walk back from the present epoch.

        Args:
            accepted: for each epoch object, the entry that it continues from; None: it began empty.
            present: the epoch of etcd's head.

        Raises:
            KeyError: an epoch of the history has no epoch object; its number is the argument.
            ValueError: an epoch continues from itself or from a later one.
        """
        epochs, ends = [present], {}
        at = present
        while (end := accepted[at]) is not None:
            if end.epoch >= at:
                raise ValueError(f"epoch {at} continues from {end}, which is not before it")
            ends[end.epoch] = end
            at = end.epoch
            epochs.append(at)
        return Lineage(tuple(reversed(epochs)), ends)

    @property
    def present(self) -> int:
        return self.epochs[-1]

    def contains(self, sequence: LogSequence) -> bool:
        """Return whether an entry is part of the history. Counter 0 is the state before an epoch's first entry."""
        if sequence.epoch not in self.epochs:
            return False
        end = self.ends.get(sequence.epoch)
        return end is None or sequence <= end

    def following(self, sequence: LogSequence) -> LogSequence:
        """Return the sequence of the next entry, in this epoch or the next. Raises ValueError outside the history."""
        if not self.contains(sequence):
            raise ValueError(f"{sequence} is not part of this history")
        if sequence == self.ends.get(sequence.epoch) and sequence.epoch != self.present:
            later = self.epochs[self.epochs.index(sequence.epoch) + 1]
            return LogSequence(later, 1)
        return sequence.next()

    def until(self, sequence: LogSequence) -> Lineage:
        """Return the history up to one of its entries. Raises ValueError outside the history."""
        if not self.contains(sequence):
            raise ValueError(f"{sequence} is not part of this history")
        epochs = self.epochs[: self.epochs.index(sequence.epoch) + 1]
        ends = {epoch: end for epoch, end in self.ends.items() if epoch < sequence.epoch}
        return Lineage(epochs, {**ends, sequence.epoch: sequence})

    def between(self, after: LogSequence, last: LogSequence) -> Iterator[tuple[LogSequence, LogSequence]]:
        """Yield the first and last entry in each epoch, after one entry of the history and up to another."""
        while after < last:
            first = self.following(after)
            after = min(self.ends.get(first.epoch, last), last)
            if first <= after:
                yield first, after

r"""The lineage: which entries, of all that were ever written under some epoch, are the database's one history. Pure.

Every epoch but the first says which entry of which epoch it goes on from. So the history is found from its end: from
the present epoch back through what each one accepted. All else is void for ever: entries of an epoch beyond what was
accepted of it, and epochs that nothing goes on from (a recovery that was overtaken). A void entry is reported and never
applied, and a manifest that ends at one is not used.

    epoch 1   1 2 3 4 5 6 7
                      |  \_ void: 5 6 7
    epoch 2           4 -> 1 2 3
                               |
    epoch 4                    3 -> 1 2 ...         (epoch 3 was begun and never came to anything)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sluiceway_server.datamanager.model import LogSequence

__all__ = ["Lineage"]


@dataclass(frozen=True, slots=True)
class Lineage:
    """See the module.

    Attributes:
        epochs: those of the history, oldest first; the last one is the present one.
        ends: the last entry that counts, of each of them but the present one (of that too, in a history that was
            ended by `until`). The counter may be 0: none counts.
    """

    epochs: tuple[int, ...]
    ends: Mapping[int, LogSequence]

    @staticmethod
    def of(accepted: Mapping[int, LogSequence | None], present: int) -> Lineage:
        """Walk back from the present epoch.

        Args:
            accepted: of every epoch object that there is: the last entry that it accepted of an epoch before it; None
                for one that began with nothing.
            present: the epoch that etcd's head is in.

        Raises:
            KeyError: an epoch of the walk has no epoch object; its number is the argument.
            ValueError: an epoch goes on from itself or from a later one.
        """
        epochs, ends = [present], {}
        at = present
        while (end := accepted[at]) is not None:
            if end.epoch >= at:
                raise ValueError(f"epoch {at} goes on from {end}, which is not before it")
            ends[end.epoch] = end
            at = end.epoch
            epochs.append(at)
        return Lineage(tuple(reversed(epochs)), ends)

    @property
    def present(self) -> int:
        """The present epoch."""
        return self.epochs[-1]

    def contains(self, sequence: LogSequence) -> bool:
        """Whether an entry, if it exists, is part of the history. Counter 0 is the state before an epoch's first."""
        if sequence.epoch not in self.epochs:
            return False
        end = self.ends.get(sequence.epoch)
        return end is None or sequence <= end

    def following(self, sequence: LogSequence) -> LogSequence:
        """Tell the sequence of the entry after one of the history's: in its epoch, or the first of the next one.

        Raises:
            ValueError: the sequence is not part of the history.
        """
        if not self.contains(sequence):
            raise ValueError(f"{sequence} is not part of this history")
        if sequence == self.ends.get(sequence.epoch) and sequence.epoch != self.present:
            later = self.epochs[self.epochs.index(sequence.epoch) + 1]
            return LogSequence(later, 1)
        return sequence.next()

    def until(self, sequence: LogSequence) -> Lineage:
        """Tell the same history as it was when it ended at one of its entries.

        Raises:
            ValueError: the sequence is not part of the history.
        """
        if not self.contains(sequence):
            raise ValueError(f"{sequence} is not part of this history")
        epochs = self.epochs[: self.epochs.index(sequence.epoch) + 1]
        ends = {epoch: end for epoch, end in self.ends.items() if epoch < sequence.epoch}
        return Lineage(epochs, {**ends, sequence.epoch: sequence})

    def between(self, after: LogSequence, last: LogSequence) -> Iterator[tuple[LogSequence, LogSequence]]:
        """Give what is after one entry of the history up to another one, as a first and a last entry for each epoch."""
        while after < last:
            first = self.following(after)
            after = min(self.ends.get(first.epoch, last), last)
            if first <= after:
                yield first, after

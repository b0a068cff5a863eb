"""The settings of what speaks to git providers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sluiceway_common.foundation.errors import InvalidInput
from sluiceway_common.foundation.locations import link_fault
from sluiceway_server.forges.addresses import Network

__all__ = ["TriggerSettings", "parse_public_url"]


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """How git providers are spoken to.

    Attributes:
        public_url: the gateway's, as git providers and people see it; empty: no webhook can be made, and statuses have
            no link.
        private_networks: loopback, link-local and private addresses that the server may call all the same.
        give_up_after: how long work on a delivery is tried again while the provider is away. Longer than an upgrade of
            a provider takes.
        deliveries_kept: how long deliveries are kept.
        installing: a webhook that was made for a project that is not there after so long is taken away.
        interval: between two looks at what may have been missed.
        catch_up_interval: between two lists of the refs of a repository; 0: they are not listed.
    """

    public_url: str = ""
    private_networks: tuple[Network, ...] = ()
    give_up_after: timedelta = timedelta(hours=6)
    deliveries_kept: timedelta = timedelta(days=90)
    installing: timedelta = timedelta(minutes=10)
    interval: timedelta = timedelta(seconds=30)
    catch_up_interval: timedelta = timedelta(minutes=5)


def parse_public_url(text: str) -> str:
    """Check the value of `--public-url`; return it without a slash at its end.

    Raises:
        InvalidInput: it is not a URL of http or https, or has a query.
    """
    fault = link_fault(text) if text else None
    if fault is None and any(mark in text for mark in "?#"):
        fault = "must have no query and no fragment"
    if fault is not None:
        raise InvalidInput(f"--public-url {text} {fault}; give the gateway's, such as https://ci.example.org")
    return text.rstrip("/")

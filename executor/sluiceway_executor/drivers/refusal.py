"""Refuses pods that a driver does not support, with the messages of `sluice config check` and the server."""

from __future__ import annotations

from collections.abc import Sequence

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.capabilities import Capabilities, PodNeeds, unsupported
from sluiceway_executor.drivers.machine import machine_archs
from sluiceway_executor.drivers.port import Network, PodRequest

__all__ = ["narrower_network", "refuse_request"]


def refuse_request(request: PodRequest, capabilities: Capabilities, archs: Sequence[str] = ()) -> None:
    """Refuse a pod that the driver, or this machine, does not support. `archs` are this machine's by default.

    Raises:
        FailedPrecondition: the reason is the first missing feature: `SERVICES_UNSUPPORTED`, `USER_UNSUPPORTED`, ...
    """
    needs = PodNeeds(
        image=request.image,
        user=request.user,
        services=len(request.services),
        privileged=request.privileged or any(each.privileged for each in request.services),
        volumes=bool(request.tmpfs) or any(each.tmpfs for each in request.services),
    )
    lacks = unsupported(needs, capabilities)
    if lacks:
        message = "; ".join(lack.sentence_for(f"the {capabilities.driver} driver") for lack in lacks)
        raise FailedPrecondition(message, reason=f"{lacks[0].feature.upper()}_UNSUPPORTED")
    if request.arch and request.arch not in (archs or machine_archs()):
        raise FailedPrecondition(f"this machine does not run {request.arch}", reason="ARCH_UNSUPPORTED")


def narrower_network(wanted: Network, offered: Network) -> Network:
    """Return the network of a pod: that of its task, but no more access than the executor allows.

    Raises:
        FailedPrecondition: it requires the machine's own network, which the operator did not allow (`NETWORK`).
    """
    if wanted is Network.HOST and offered is not Network.HOST:
        raise FailedPrecondition(
            f'this executor has network "{offered}", so a task cannot have network "host"; only its operator can'
            " allow that (--network host)",
            reason="NETWORK",
        )
    order = list(Network)
    return min(wanted, offered, key=order.index)

"""Refuses pods that a driver does not support, with the messages of `sluice config check` and the server."""

from __future__ import annotations

from sluiceway_common.foundation.errors import FailedPrecondition
from sluiceway_common.runconfig.capabilities import Capabilities, PodNeeds, unsupported
from sluiceway_executor.drivers.machine import machine_archs
from sluiceway_executor.drivers.port import PodRequest

__all__ = ["refuse_request"]


def refuse_request(request: PodRequest, capabilities: Capabilities) -> None:
    """Refuse a pod that the driver, or this machine, does not support.

    Raises:
        FailedPrecondition: the reason is the first missing feature: `SERVICES_UNSUPPORTED`, `USER_UNSUPPORTED`, ...
    """
    needs = PodNeeds(
        image=request.image,
        user=request.user,
        services=request.services,
        privileged=request.privileged,
        volumes=bool(request.tmpfs),
    )
    lacks = unsupported(needs, capabilities)
    if lacks:
        message = "; ".join(lack.sentence_for(f"the {capabilities.driver} driver") for lack in lacks)
        raise FailedPrecondition(message, reason=f"{lacks[0].feature.upper()}_UNSUPPORTED")
    if request.arch and request.arch not in machine_archs():
        raise FailedPrecondition(f"this machine does not run {request.arch}", reason="ARCH_UNSUPPORTED")

"""What each client makes of a provider that fails."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway_common.foundation.errors import SluicewayError
from sluiceway_server.forges import errors
from sluiceway_server.forges.addresses import AddressPolicy, parse_networks
from sluiceway_server.forges.http import ForgeHttp, HttpLimits
from sluiceway_server.forges.kinds import forge_at
from tests.contract.forges.conftest import Provider
from tests.fakes.forge import Fault

ERRORS: dict[Fault, type[SluicewayError]] = {
    Fault.SERVER_ERROR_HTML: errors.ForgeUnavailable,
    Fault.WRONG_CONTENT_TYPE: errors.BadForgeResponse,
    Fault.REDIRECT_PRIVATE: errors.AddressRefused,
    Fault.HUGE: errors.ForgeResponseTooLarge,
    Fault.CUT: errors.ForgeUnavailable,
    Fault.RATE_LIMIT: errors.ForgeRateLimited,
    Fault.RATE_LIMIT_BARE: errors.ForgeRateLimited,
}


@pytest.mark.parametrize("fault", ERRORS)
async def test_fault_is_an_error_of_its_kind(provider: Provider, fault: Fault) -> None:
    provider.fake.faults.extend([fault] * 10)
    with pytest.raises(SluicewayError) as caught:
        await provider.client.user(provider.token)
    assert type(caught.value) is ERRORS[fault]
    assert provider.token not in str(caught.value)
    assert "<html>" not in str(caught.value)


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR_HTML, Fault.CUT])
async def test_fault_that_passes_is_not_noticed(provider: Provider, fault: Fault) -> None:
    provider.fake.faults.append(fault)
    assert (await provider.client.user(provider.token)).name == "ann"


@pytest.mark.parametrize("fault", [Fault.RATE_LIMIT, Fault.RATE_LIMIT_BARE])
async def test_rate_limit_is_not_retried_at_once(provider: Provider, fault: Fault) -> None:
    provider.fake.faults.append(fault)
    with pytest.raises(errors.ForgeRateLimited) as caught:
        await provider.client.user(provider.token)
    assert 1 <= caught.value.retry_after.total_seconds() <= 3600
    assert len(provider.fake.calls) == 1


async def test_provider_that_hangs_is_unavailable(provider: Provider) -> None:
    limits = HttpLimits(attempt_seconds=0.3, attempts=1)
    http = ForgeHttp(AddressPolicy(parse_networks(["127.0.0.1"])), limits=limits)
    client = forge_at(provider.fake.kind.product, provider.fake.api_url, http)
    provider.fake.faults.append(Fault.HANG)
    try:
        with pytest.raises(errors.ForgeUnavailable):
            await client.user(provider.token)
    finally:
        await http.close()


async def test_call_can_be_cancelled(provider: Provider) -> None:
    provider.fake.faults.append(Fault.HANG)
    call = asyncio.create_task(provider.client.user(provider.token))
    async with asyncio.timeout(60):
        while provider.fake.faults:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_webhook_is_created_once_although_a_call_failed(provider: Provider) -> None:
    found = await provider.repository()
    url = "http://127.0.0.1:1/webhooks/1"
    await provider.client.create_webhook(provider.token, found, url=url, secret="s")
    provider.fake.faults.extend([Fault.SERVER_ERROR_HTML] * 3)
    with pytest.raises(errors.ForgeUnavailable):
        await provider.client.create_webhook(provider.token, found, url=url, secret="s")
    await provider.client.create_webhook(provider.token, found, url=url, secret="s")
    assert len(provider.stored.hooks) == 1


async def test_huge_comparison_means_that_any_path_changed(provider: Provider) -> None:
    found = await provider.repository()
    provider.fake.faults.append(Fault.HUGE)
    assert await provider.client.changed_paths(provider.token, found, provider.commit, provider.commit) is None


async def test_fault_is_no_missing_file(provider: Provider) -> None:
    found = await provider.repository()
    provider.fake.faults.append(Fault.WRONG_CONTENT_TYPE)
    with pytest.raises(errors.BadForgeResponse):
        await provider.client.file(provider.token, found, "README.md", provider.commit)


async def test_api_url_without_its_path_is_a_bad_response(provider: Provider) -> None:
    http = ForgeHttp(AddressPolicy(parse_networks(["127.0.0.1"])))
    client = forge_at(provider.fake.kind.product, provider.fake.url, http)
    try:
        with pytest.raises((errors.BadForgeResponse, errors.NotAtForge)):
            await client.user(provider.token)
    finally:
        await http.close()

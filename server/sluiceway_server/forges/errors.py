"""The errors of git providers and of their webhooks."""

from __future__ import annotations

from sluiceway_common.foundation.errors import (
    Exhausted,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "AddressRefused",
    "BadForgeResponse",
    "ForgeRateLimited",
    "ForgeRefused",
    "ForgeResponseTooLarge",
    "ForgeUnavailable",
    "Moved",
    "NotAtForge",
    "RightMissing",
    "TokenRefused",
    "WebhookMalformed",
    "WebhookRefused",
]


class ForgeUnavailable(Unavailable):
    """The provider cannot be reached, takes too long, or fails with a 5xx status."""

    reason = "PROVIDER_UNAVAILABLE"


class ForgeRateLimited(Unavailable):
    """The provider takes no more calls until `retry_after` has passed."""

    reason = "PROVIDER_RATE_LIMITED"


class TokenRefused(FailedPrecondition):
    """The provider does not accept the stored token. The user has to link the account again."""

    reason = "PROVIDER_TOKEN_REFUSED"


class RightMissing(PermissionDenied):
    """The token, or its user, lacks a right at the provider."""

    reason = "PROVIDER_RIGHT_MISSING"


class NotAtForge(NotFound):
    """The provider does not have it, or does not show it to this user."""

    reason = "PROVIDER_NOT_FOUND"


class ForgeRefused(FailedPrecondition):
    """The provider refuses the call: its state does not allow it, or it validates the values differently."""

    reason = "PROVIDER_REFUSED"


class BadForgeResponse(FailedPrecondition):
    """The response is not one of the documented API, such as a page of HTML. The URL of the API may be wrong."""

    reason = "PROVIDER_RESPONSE_INVALID"


class Moved(BadForgeResponse):
    """The provider redirects a call that is not repeated elsewhere by itself: the repository has another path now."""


class AddressRefused(FailedPrecondition):
    """The URL leads to an address that calls must not reach, or is not one of http or https."""

    reason = "PROVIDER_ADDRESS_REFUSED"


class ForgeResponseTooLarge(Exhausted):
    """The response is larger than its limit. The rest of it was not read."""

    reason = "PROVIDER_RESPONSE_TOO_LARGE"


class WebhookRefused(Unauthenticated):
    """The delivery has no valid signature. The reason tells which: missing, empty, wrong or expired."""

    reason = "WEBHOOK_SIGNATURE_INVALID"


class WebhookMalformed(InvalidInput):
    """A signed delivery whose body is not an event of the provider."""

    reason = "WEBHOOK_MALFORMED"

"""A person with a browser at the fake git provider, without a real browser."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import httpx


async def answer_at_provider(url: str, name: str, answer: str = "allow") -> str:
    """Log in at the provider as a user, and click a button of the page at `url`; return where it redirects to.

    Raises:
        AssertionError: the provider shows an error, and redirects nobody.
    """
    async with httpx.AsyncClient(cookies={"fake_user": name}, trust_env=False, timeout=60) as browser:
        page = await browser.get(url)
        if page.status_code == 200:
            form = {**dict(parse_qsl(urlsplit(url).query)), "answer": answer}
            page = await browser.post(url.partition("?")[0], data=form)
    assert page.status_code == 303, f"{page.status_code} {page.text}"
    return page.headers["location"]


def query_of(url: str) -> dict[str, str]:
    """Return the query of a URL."""
    return dict(parse_qsl(urlsplit(url).query))

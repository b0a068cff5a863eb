"""The digest that is shown of an image of a Docker engine."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway_executor.drivers.docker_images import _image

A, B, ID = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}", f"sha256:{'1' * 64}"


@pytest.mark.parametrize(
    ("name", "known", "digest"),
    [
        ("debian:12", [f"debian@{A}"], A),
        ("docker.io/debian", [f"debian@{A}"], A),
        ("r.io:5000/x/app:1", [f"debian@{A}", f"r.io:5000/x/app@{B}"], B),
        (f"r.io/app@{B}", [f"r.io/app@{B}"], B),
        ("app:mine", [], ID),
    ],
    ids=["a tag", "Docker Hub", "one of two repositories", "a digest", "built here"],
)
def test_digest_is_that_of_the_repository(name: str, known: list[str], digest: str) -> None:
    found: dict[str, Any] = {"Id": ID, "RepoDigests": known, "Architecture": "amd64"}
    image = _image(name, found)
    assert (image.shown_digest, image.digest) == (digest, ID)


def test_image_from_no_registry_has_its_own_digest() -> None:
    assert _image("app", {"Id": ID, "RepoDigests": None}).shown_digest == ID

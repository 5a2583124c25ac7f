"""The pictures of an evaluation as pages show them: whole, so that a page needs no other file."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from pretrain_api.storage import Storage
from pretrain_trainer.reporting.types import PictureReport


@dataclass(frozen=True)
class Shown:
    """A picture and what is to be seen on it."""

    name: str
    title: str
    about: str
    png: bytes

    @property
    def file(self) -> str:
        """Its name beside a model card."""
        return f"{self.name}.png"

    @property
    def uri(self) -> str:
        """The picture itself as an address (RFC 2397)."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def read(storage: Storage, pictures: Iterable[PictureReport]) -> list[Shown]:
    """Those whose file is still there: a report of a run whose evaluation was tidied away has its figures all the same."""
    found = []
    for picture in pictures:
        try:
            png = storage.read_bytes(picture.path)
        except FileNotFoundError:
            continue
        found.append(Shown(picture.name, picture.title, picture.about, png))
    return found

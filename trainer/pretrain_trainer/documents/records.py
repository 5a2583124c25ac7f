"""What readers of all formats yield: documents, bad ones with the reason, and ignored ones."""

from __future__ import annotations

from dataclasses import dataclass

from pretrain_api.errors import UserError

_UTF16 = {b"\xff\xfe": "UTF-16 (little endian)", b"\xfe\xff": "UTF-16 (big endian)"}


@dataclass(frozen=True, slots=True)
class Record:
    """A document: its text, the URL it comes from, and its own licence ("": none stated)."""

    text: str
    url: str
    license: str = ""


@dataclass(frozen=True, slots=True)
class Bad:
    """A document that cannot be used: an error code, the file and line, and what is wrong."""

    code: str
    place: str
    problem: str

    def error(self) -> UserError:
        """The error that ends the job when no bad document is allowed."""
        return UserError(
            self.code,
            self.place,
            self.problem,
            "Correct it, or set spec.data.maxBadDocuments to the number of bad documents to skip and count.",
        )


@dataclass(frozen=True, slots=True)
class Ignored:
    """A record that is no document for us, counted under `reason`."""

    reason: str


def too_long(place: str, limit: int) -> Bad:
    """A document above spec.data.maxDocumentBytes."""
    return Bad("document-too-long", place, f"The document is longer than spec.data.maxDocumentBytes ({limit} bytes).")


def decode(data: bytes, place: str) -> str | Bad:
    """UTF-8 text, a byte order mark taken off."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = (
            f"it looks like {_UTF16[data[:2]]}"
            if data[:2] in _UTF16
            else f"byte {error.start} is {data[error.start]:#04x}"
        )
        return Bad("invalid-utf8", place, f"The text is not valid UTF-8: {hint}.")
    return text.removeprefix("\ufeff")

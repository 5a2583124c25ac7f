"""Reader of WARC and WET files: extracted text, plain-text responses, and the main content of HTML pages.

HTML becomes text with Resiliparse, as in DCLM (Li et al. 2024, arXiv:2406.11794, section 4.2). Other kinds of content,
redirects and error pages are ignored and counted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

from pretrain_api.errors import UserError
from pretrain_trainer.documents.records import Bad, Ignored, Record, decode, too_long
from pretrain_trainer.documents.streams import Readable, truncated

_CARRIES_TEXT = WarcRecordType.conversion | WarcRecordType.response | WarcRecordType.resource
_HTML = ("text/html", "application/xhtml+xml")
_END_OF_RECORD = b"\r\n\r\n"


class _Source(io.RawIOBase):
    """What FastWARC reads from. Remembers the last bytes: a WARC file that is whole ends with an empty line."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._position = 0
        self.last = b""
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._stream.read(size)
        except Exception as error:
            self.error = error
            raise
        self._position += len(data)
        self.last = (self.last + data[-4:])[-4:]
        return data


def read(stream: Readable, url: str, max_bytes: int) -> Iterator[Record | Bad | Ignored]:
    """A document per record that carries text. UserError for a file that is cut off or is not WARC."""
    source = _Source(stream)
    number = 0
    try:
        for record in ArchiveIterator(source, record_types=_CARRIES_TEXT, parse_http=False, stream_detect=False):
            number += 1
            yield _document(record, f"{url}, record {number}", url, max_bytes)
    except OSError as error:
        if source.error is not None:
            raise source.error from error
        raise UserError(
            "broken-warc", url, f"is not valid WARC after record {number}: {error}.", "Supply the whole file."
        ) from error
    if source.last and source.last != _END_OF_RECORD:
        raise truncated(url, f"record {number} is not complete")


def _document(record: WarcRecord, place: str, file: str, max_bytes: int) -> Record | Bad | Ignored:
    url = record.headers.get("WARC-Target-URI") or file
    kind = (record.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    charset: str | None = None
    is_http = record.record_type == WarcRecordType.response or kind == "application/http"
    if is_http:
        record.parse_http(auto_decode="all")
        kind = (record.http_content_type or "").lower()
        charset = record.http_charset
        status = record.http_headers.status_code if record.http_headers else None
        if status is not None and not 200 <= status < 300:
            return Ignored(f"HTTP status {status}")
    if kind != "text/plain" and kind not in _HTML:
        return Ignored(kind or "no content type")
    data = record.reader.read(max_bytes + 1)
    if len(data) > max_bytes:
        return too_long(place, max_bytes)
    if not is_http and len(data) < record.content_length:
        raise truncated(file, f"{place.removeprefix(f'{file}, ')} has {len(data)} of {record.content_length} bytes")
    if kind in _HTML:
        return Record(_main_content(data, charset), url)
    if charset and charset.lower() not in ("utf-8", "utf8"):
        try:
            return Record(data.decode(charset), url)
        except (LookupError, UnicodeDecodeError) as error:
            return Bad("invalid-utf8", place, f"The text cannot be decoded as {charset}: {error}.")
    text = decode(data, place)
    return text if isinstance(text, Bad) else Record(text, url)


def _main_content(html: bytes, charset: str | None) -> str:
    """Text of a page without navigation and boilerplate; undecodable bytes become U+FFFD, as in a browser."""
    encoding = charset or detect_encoding(html, html5_compatible=True) or "utf-8"
    tree = HTMLTree.parse_from_bytes(html, encoding, "replace")
    return str(extract_plain_text(tree, main_content=True, alt_texts=False))

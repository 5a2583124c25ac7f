import io
import json

import pytest
from support.tars import tar

from pretrain_api.types.data import DocumentFields
from pretrain_trainer.documents import webdataset
from pretrain_trainer.documents.records import Bad, Record

URL = "file:///x.tar"


def read(files: dict[str, bytes], max_bytes: int = 1000, **fields: str) -> list[Record | Bad]:
    return list(webdataset.read(io.BytesIO(tar(files)), URL, max_bytes, DocumentFields(**fields)))


CAPTION = json.dumps({"caption": "a dog", "text": "in json", "meta": {"license": "MIT", "n": 3}}).encode()


class TestText:
    def test_is_member_txt(self) -> None:
        files = {"1.jpg": b"\xff", "1.txt": b"a cat", "2.jpg": b"\xff", "2.txt": "ünd".encode()}
        assert read(files) == [Record("a cat", URL), Record("ünd", URL)]

    @pytest.mark.parametrize(
        ("name", "text"),
        [("caption", "a dog"), ("json.caption", "a dog"), ("text", "in json"), ("meta.license", "MIT")],
    )
    def test_is_a_field_of_the_json(self, name: str, text: str) -> None:
        assert read({"a/1.json": CAPTION}, text=name) == [Record(text, URL)]

    def test_is_the_member_that_is_named(self) -> None:
        assert read({"1.long.txt": b"long", "1.txt": b"short"}, text="long.txt") == [Record("long", URL)]

    def test_goes_with_a_licence_of_its_own(self) -> None:
        assert read({"1.json": CAPTION, "1.txt": b"a dog"}, license="meta.license") == [Record("a dog", URL, "MIT")]
        assert read({"1.license": b"CC0-1.0\n", "1.txt": b"a"}, license="license") == [Record("a", URL, "CC0-1.0")]


class TestBad:
    @pytest.mark.parametrize(
        ("files", "fields", "code", "problem"),
        [
            ({"1.jpg": b"", "1.cls": b"3"}, {}, "missing-text-field",
             "There is no member or JSON field 'text'; the record has: cls, jpg."),
            ({"1.json": CAPTION}, {"text": "title"}, "missing-text-field",
             "There is no member or JSON field 'title'; the record has: json."),
            ({"1.json": CAPTION}, {"text": "meta.n"}, "text-field-type", "The field 'meta.n' of its JSON holds no string."),
            ({"1.json": b"{"}, {}, "broken-json",
             "Its JSON is not valid: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
            ({"1.txt": b"caf\xe9"}, {}, "invalid-utf8", "The text is not valid UTF-8: byte 3 is 0xe9."),
            ({"1.txt": b"a" * 1001}, {}, "document-too-long",
             "The document is longer than spec.data.maxDocumentBytes (1000 bytes)."),
            ({"1.json": b'"' + b"a" * 1000 + b'"'}, {}, "document-too-long",
             "The document is longer than spec.data.maxDocumentBytes (1000 bytes)."),
            ({"1.json": rb'{"text": "\ud800"}'}, {}, "invalid-utf8",
             "The field 'text' of its JSON holds half of a surrogate pair."),
        ],
    )  # fmt: skip
    def test_documents_are_told_with_their_record(
        self, files: dict[str, bytes], fields: dict[str, str], code: str, problem: str
    ) -> None:
        assert read(files, **fields) == [Bad(code, f"{URL}, record 1", problem)]

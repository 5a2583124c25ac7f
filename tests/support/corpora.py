"""Small corpora in the formats that people have, made from text that every machine has."""

import gzip
import io
import json
import random
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path


def texts(seed: int) -> Iterator[str]:
    """Sources of the standard library in chunks of 1-6 KB, in an order of the seed."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    rng = random.Random(seed)
    rng.shuffle(files)
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        start = 0
        while start < len(text):
            length = rng.randrange(1000, 6000)
            yield text[start : start + length]
            start += length


def write_jsonl_zst(path: Path, documents: list[str]) -> None:
    import zstandard

    lines = "".join(json.dumps({"text": text, "meta": {"n": n}}) + "\n" for n, text in enumerate(documents))
    path.write_bytes(zstandard.compress(lines.encode()))


def write_parquet(path: Path, documents: list[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"content": documents, "stars": list(range(len(documents)))})
    pyarrow.parquet.write_table(table, path, row_group_size=64)


def write_wet(path: Path, documents: list[str]) -> None:
    """WARC conversion records, one gzip member each, as Common Crawl writes its WET files."""
    out = io.BytesIO()
    for n, text in enumerate(documents):
        body = text.encode()
        head = (
            "WARC/1.0\r\nWARC-Type: conversion\r\n"
            f"WARC-Target-URI: http://example.org/{n}\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
            f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{n:012d}>\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        out.write(gzip.compress(head.encode() + body + b"\r\n\r\n", mtime=0))
    path.write_bytes(out.getvalue())


def mixed_corpus(folder: Path, seed: int, documents: int = 240) -> dict[str, str]:
    """jsonl.zst, parquet and WARC below `folder`; the `documents` globs of three sources."""
    folder.mkdir(parents=True, exist_ok=True)
    all_texts = list(islice(texts(seed), documents))
    third = documents // 3
    write_jsonl_zst(folder / "web-0.jsonl.zst", all_texts[: third // 2])
    write_jsonl_zst(folder / "web-1.jsonl.zst", all_texts[third // 2 : third])
    write_parquet(folder / "code.parquet", all_texts[third : 2 * third])
    write_wet(folder / "crawl.warc.wet.gz", all_texts[2 * third :])
    return {
        "web": str(folder / "web-*.jsonl.zst"),
        "code": str(folder / "code.parquet"),
        "crawl": str(folder / "crawl.warc.wet.gz"),
    }

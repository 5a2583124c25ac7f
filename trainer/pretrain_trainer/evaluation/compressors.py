"""How far general-purpose compressors get with a text: gzip and xz at their strongest settings."""

import lzma
import zlib
from collections.abc import Iterable

_GZIP_LEVEL = 9
_GZIP_WINDOW = 15 | 16  # the largest window, in gzip's container
_XZ_PRESET = 9 | lzma.PRESET_EXTREME
_XZ_DICTIONARY_BYTES = 64 << 20
"""What preset 9 uses; the encoder takes about eleven times its dictionary."""


def gzip_bits(documents: Iterable[bytes]) -> int:
    """Bits of the documents, one after the other, as one `gzip -9` stream."""
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return 8 * (sum(len(compressor.compress(document)) for document in documents) + len(compressor.flush()))


def xz_bits(documents: Iterable[bytes], total_bytes: int) -> int:
    """Bits of the documents, one after the other, as one `xz -9e` stream.

    `total_bytes` is the length of the text: a dictionary larger than it would only cost memory.
    """
    dictionary = min(_XZ_DICTIONARY_BYTES, max(total_bytes, 4096))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": _XZ_PRESET, "dict_size": dictionary}]
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    return 8 * (sum(len(compressor.compress(document)) for document in documents) + len(compressor.flush()))

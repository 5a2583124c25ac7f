"""What a source's held-out text costs without a neural network: gzip, xz and a byte 5-gram model, in bits per byte."""

from collections.abc import Callable, Iterable, Iterator

from pretrain_trainer.evaluation.compressors import gzip_bits, xz_bits
from pretrain_trainer.evaluation.ngrams import ByteNgramModel

BASELINES = ("gzip", "xz", "byte5gram")
SAMPLE_BYTES = 64 << 20
"""Most training text that the 5-gram model counts, per source."""


def bits_per_byte(held_out: Callable[[], Iterable[str]], training: Iterable[str], text_bytes: int) -> dict[str, float]:
    """Bits per UTF-8 byte by baseline. `held_out` gives the text anew at each call; it has `text_bytes` > 0 bytes.

    The compressors learn while they compress and have seen nothing before. The 5-gram model has counted `training`
    and stays as it is.
    """
    model = ByteNgramModel(order=5)
    model.fit(_encoded(training))
    bits = {
        "gzip": gzip_bits(_encoded(held_out())),
        "xz": xz_bits(_encoded(held_out()), text_bytes),
        "byte5gram": model.bits(_encoded(held_out())),
    }
    return {name: bits[name] / text_bytes for name in BASELINES}


def _encoded(texts: Iterable[str]) -> Iterator[bytes]:
    return (text.encode() for text in texts)

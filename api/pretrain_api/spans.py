"""How many tokens and spans span corruption cuts out of a sequence, and how long what is left becomes. Numbers alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """Of a sequence of `length` tokens: `noise` of them in `spans` spans, each after at least one that is kept."""

    length: int
    noise: int
    spans: int

    @property
    def inputs(self) -> int:
        """What the encoder reads: the kept tokens, and one sentinel for each span."""
        return self.length - self.noise + self.spans

    @property
    def targets(self) -> int:
        """What the decoder writes: each span after its sentinel, and the end of text."""
        return self.noise + self.spans + 1


def cut(length: int, noise_density: float, mean_span_length: float) -> Cut:
    """As T5 counts them (arXiv:1910.10683, section 3.1.4). `length` is 2 or more."""
    noise = min(max(round(length * noise_density), 1), length - 1)
    return Cut(length, noise, min(max(round(noise / mean_span_length), 1), noise, length - noise))

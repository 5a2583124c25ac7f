"""Pre-training objectives, one file each: what is predicted from a batch of packed sequences or of images, and its loss.

`build` picks the one that the job asks for; the training loop knows none of them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pretrain_trainer.objectives.causal_lm import CausalLanguageModel
from pretrain_trainer.objectives.dino import SelfDistillation
from pretrain_trainer.objectives.interface import Batch, Moment, Objective, Sums
from pretrain_trainer.objectives.mae import MaskedAutoencoder
from pretrain_trainer.objectives.masked_lm import MaskedLanguageModel
from pretrain_trainer.objectives.passes import Passes
from pretrain_trainer.objectives.prefix_lm import PrefixLanguageModel
from pretrain_trainer.objectives.simclr import SimClr
from pretrain_trainer.objectives.span_corruption import SpanCorruption
from pretrain_trainer.tokenizer import LoadedTokenizer, word_starts

if TYPE_CHECKING:
    from pretrain_api.types.model import Objective as ObjectiveSpec

__all__ = ["Batch", "Moment", "Objective", "Passes", "Sums", "build"]


def build(spec: ObjectiveSpec, load: Callable[[], LoadedTokenizer], seed: int, config: Any) -> Objective[Any]:
    """The objective that the job asks for; `load` gives the tokenizer to those that need it, `config` is that of the model.
    Validation has refused those that do not exist yet."""
    if causal := spec.causal_lm:
        return CausalLanguageModel(document_mask=causal.document_mask, z_loss=causal.z_loss)
    if masked := spec.masked_lm:
        tokenizer = load()
        assert tokenizer.mask is not None, "the Tokenizer stage has seen to it"
        return MaskedLanguageModel(
            tokenizer.mask,
            frozenset({tokenizer.end_of_text, tokenizer.padding}),
            tokenizer.vocab_size,
            seed,
            masked.mask_probability,
            word_starts(tokenizer) if masked.masking == "wholeWord" else None,
            masked.document_mask,
        )
    if prefix := spec.prefix_lm:
        return PrefixLanguageModel(seed, prefix.document_mask)
    if corruption := spec.span_corruption:
        tokenizer = load()
        return SpanCorruption(
            tokenizer.sentinels,
            tokenizer.end_of_text,
            tokenizer.padding,
            seed,
            corruption.noise_density,
            corruption.mean_span_length,
        )
    if mae := spec.mae:
        return MaskedAutoencoder(mae, config.patch_size, seed)
    if simclr := spec.simclr:
        return SimClr(simclr, seed)
    if dino := spec.dino:
        return SelfDistillation(dino, seed)
    raise NotImplementedError(f"no such objective yet: {spec.model_dump(exclude_none=True)}")

"""The tokenizer, the model and the pre-training objective."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pretrain_api.needs import MASK, SENTINELS, Needs
from pretrain_api.types.base import ApiModel, Ratio


class TrainTokenizer(ApiModel):
    """Trains a tokenizer on a weighted sample of the prepared documents; of clip, on captions, in lower case."""

    algorithm: Literal["bpe", "wordpiece", "unigram"] = "bpe"
    """bpe is byte-level: every text survives a round trip."""
    vocab_size: Annotated[int, Field(ge=300, le=1_000_000)] = 32768
    """Entries of the vocabulary, special tokens included."""
    sample_bytes: Annotated[int, Field(ge=1024)] = 256 << 20
    """Bytes of text to train on, divided over the sources by weight."""
    special_tokens: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=1024)] = []
    """Further special tokens, beside the end of text and the padding."""


class Tokenizer(ApiModel):
    """Where the tokenizer comes from: exactly one of `train` and `uri`."""

    train: TrainTokenizer | None = None
    """Trains a tokenizer."""
    uri: Annotated[str, Field(max_length=2048)] = ""
    """Folder or fsspec URL of an existing Hugging Face tokenizer (with tokenizer.json)."""


class Model(ApiModel):
    """The architecture: exactly one of `preset` and `config`."""

    preset: Annotated[str, Field(max_length=64)] = ""
    """Name of a preset; `pretrain explain model.preset` lists them. The vocabulary follows the tokenizer."""
    config: dict[str, Any] | None = None
    """Any transformers configuration, `model_type` included: {model_type: llama, hidden_size: 256, ...}."""


class OfText(ApiModel):
    """Settings of an objective that learns from packed sequences of tokens."""

    needs: ClassVar[Needs]


class CausalLM(OfText):
    """Next-token prediction on packed sequences."""

    needs: ClassVar[Needs] = Needs("causal")
    document_mask: Literal["attention", "none"] = "attention"
    """attention: a token attends only to its own document; none: to the whole packed sequence."""
    z_loss: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of the squared log partition function (PaLM: 1e-4, arXiv:2204.02311)."""


class MaskedLM(OfText):
    """Masked-token prediction (BERT, arXiv:1810.04805)."""

    needs: ClassVar[Needs] = Needs("masked", special_tokens=(MASK,))
    mask_probability: Annotated[float, Field(ge=0.001, le=1)] = 0.15
    """Share of tokens to predict; of them 80 % masked, 10 % random, 10 % kept."""
    masking: Literal["token", "wholeWord"] = "token"
    """Unit that is masked."""
    document_mask: Literal["attention", "none"] = "attention"
    """attention: a token attends only to its own document; none: to the whole packed sequence."""


class SpanCorruption(OfText):
    """Span corruption (T5, arXiv:1910.10683). Documents that are packed into one sequence see each other."""

    needs: ClassVar[Needs] = Needs("seq2seq", special_tokens=SENTINELS)
    noise_density: Ratio = 0.15
    """Share of tokens to corrupt; the spans are cut out, and the decoder writes them."""
    mean_span_length: Annotated[float, Field(ge=1, le=64)] = 3.0
    """Mean length of a corrupted span, in tokens."""


class PrefixLM(OfText):
    """Causal prediction after a bidirectional prefix of random length (arXiv:1910.10683, section 3.2.1)."""

    needs: ClassVar[Needs] = Needs("causal")
    document_mask: Literal["attention", "none"] = "attention"
    """attention: each document has a prefix of its own and a token attends only to its document; none: the whole packed sequence is one document."""


_Side = Annotated[int, Field(ge=8, le=2048)]
_Pixels = Annotated[float, Field(gt=0, le=1)]


class OfImages(ApiModel):
    """Settings of an objective that learns from images."""

    needs: ClassVar[Needs]
    image_size: _Side = 224
    """Side of the square image, in pixels."""


class Clip(OfImages):
    """Contrastive language-image pre-training (arXiv:2103.00020). Captions are cut to `training.sequenceLength` tokens."""

    needs: ClassVar[Needs] = Needs("twoTowers", "captionedImages")
    image_size: _Side = 224
    """Side of the square image, in pixels."""
    min_crop_area: _Pixels = 0.9
    """Least share of an image that a random crop keeps (OpenCLIP: 0.9)."""


class Mae(OfImages):
    """Masked autoencoder (arXiv:2111.06377)."""

    needs: ClassVar[Needs] = Needs("imageAutoencoder", "images")
    image_size: _Side = 224
    """Side of the square image, in pixels."""
    mask_ratio: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Share of patches hidden from the encoder."""
    min_crop_area: _Pixels = 0.2
    """Least share of an image that a random crop keeps."""
    horizontal_flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of crops that are mirrored. 0 where left and right mean something, as in digits."""
    normalized_pixels: Literal["perPatch", "none"] = "perPatch"
    """perPatch: the pixels to predict are normalised within each patch; none: they are as they stand."""


class SimClr(OfImages):
    """Contrastive learning of two views (arXiv:2002.05709)."""

    needs: ClassVar[Needs] = Needs("imageEncoder", "images", passes_together=True)
    image_size: _Side = 224
    """Side of the square view, in pixels."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Temperature of the NT-Xent loss."""
    min_crop_area: _Pixels = 0.08
    """Least share of an image that a view keeps."""
    horizontal_flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of views that are mirrored. 0 where left and right mean something, as in digits."""
    color_strength: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Strength of the random changes of brightness, contrast, saturation and hue; 0 leaves colours as they are."""
    projection_size: Annotated[int, Field(ge=8, le=8192)] = 128
    """Width of the projection that is compared."""


class Dino(OfImages):
    """Self-distillation without labels (arXiv:2104.14294)."""

    needs: ClassVar[Needs] = Needs("imageEncoder", "images")
    image_size: _Side = 224
    """Side of a global crop, in pixels."""
    local_crops: Annotated[int, Field(ge=0, le=32)] = 8
    """Number of local crops."""
    local_image_size: _Side = 96
    """Side of a local crop, in pixels."""
    min_global_crop_area: _Pixels = 0.4
    """Least share of an image that a global crop keeps; local crops keep at most so much."""
    min_local_crop_area: _Pixels = 0.05
    """Least share of an image that a local crop keeps."""
    horizontal_flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of crops that are mirrored. 0 where left and right mean something, as in digits."""
    color_strength: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Strength of the random changes of brightness, contrast, saturation and hue; 0.5 is the paper's."""
    prototypes: Annotated[int, Field(ge=2, le=1 << 20)] = 65536
    """Dimensions of the distributions that student and teacher are compared by."""
    teacher_momentum: Annotated[float, Field(ge=0, le=1)] = 0.996
    """What an update of the teacher keeps of it at the beginning; rises to 1 by a cosine over the run."""
    teacher_temperature: Annotated[float, Field(gt=0, le=1)] = 0.04
    """Temperature of the teacher's distributions at the beginning."""
    final_teacher_temperature: Annotated[float, Field(gt=0, le=1)] | None = None
    """Temperature that is reached linearly over the first tenth of the run (the paper: 0.07 for long runs). Omitted: as at the beginning."""
    frozen_samples: Annotated[int, Field(ge=0)] | None = None
    """Samples at the beginning during which the last layer of the head stays as it is. Omitted: a hundredth of the run."""


class Objective(ApiModel):
    """What the model learns: exactly one of the fields below."""

    causal_lm: CausalLM | None = Field(default=None, alias="causalLM")
    """Next-token prediction."""
    masked_lm: MaskedLM | None = Field(default=None, alias="maskedLM")
    """Masked-token prediction."""
    span_corruption: SpanCorruption | None = None
    """Span corruption."""
    prefix_lm: PrefixLM | None = Field(default=None, alias="prefixLM")
    """Prefix language modelling."""
    clip: Clip | None = None
    """Contrastive language-image pre-training."""
    mae: Mae | None = None
    """Masked image modelling."""
    simclr: SimClr | None = None
    """Contrastive learning of image views."""
    dino: Dino | None = None
    """Self-distillation of image views."""

    @property
    def written(self) -> OfText | OfImages | None:
        """The settings that are; the first, where a job that is not valid has several."""
        return next((value for name in type(self).model_fields if (value := getattr(self, name)) is not None), None)

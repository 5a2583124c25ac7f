"""How the model is trained, and how training is checkpointed and evaluated."""

from typing import Annotated, Literal

from pydantic import Field

from pretrain_api.types.base import ApiModel, Ratio


class AdamW(ApiModel):
    """AdamW (arXiv:1711.05101); no decay on embeddings, norms and biases."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] = 3e-4
    """Peak learning rate."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the gradient's mean."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of the squared gradient's mean."""
    epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Added to the denominator."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Decoupled weight decay."""


class Muon(ApiModel):
    """Muon on hidden matrices, AdamW on the rest, embeddings, kernels of convolutions and the output matrix among it (arXiv:2502.16982)."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] = 2e-3
    """Peak learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Momentum."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Decoupled weight decay."""


class Lars(ApiModel):
    """LARS (arXiv:1708.03888), for large contrastive batches; biases and norms take plain steps without decay."""

    learning_rate: Annotated[float, Field(gt=0, le=100)] = 0.3
    """Peak learning rate for a global batch of 256; scaled linearly."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-6
    """Weight decay."""


class Optimizer(ApiModel):
    """The optimizer: exactly one of the fields below."""

    adamw: AdamW | None = None
    """AdamW."""
    muon: Muon | None = None
    """Muon."""
    lars: Lars | None = None
    """LARS."""


class Schedule(ApiModel):
    """Learning rate over the run: linear warm-up, then decay."""

    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps of linear warm-up. Omitted: a tenth of the run, at most 2,000."""
    decay: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """Shape after the warm-up. wsd: constant, then linear decay at the end (arXiv:2404.06395)."""
    decay_fraction: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of the run that wsd spends decaying."""
    final_ratio: Ratio = 0.1
    """Learning rate at the end, relative to the peak."""


class Parallelism(ApiModel):
    """How the model is divided over ranks."""

    shard: Annotated[int, Field(ge=1, le=65536)] = 1
    """Ranks in a fully sharded group (FSDP2); the remaining ranks replicate it."""


class Training(ApiModel):
    """The training stage."""

    sequence_length: Annotated[int, Field(ge=8, le=1 << 20)] = 2048
    """Tokens in a packed sequence; of clip, the most tokens of a caption. Objectives of images alone have no use for it."""
    global_batch_size: Annotated[int, Field(ge=1, le=1 << 24)] = 512
    """Samples per optimizer step, the same whatever the world size."""
    micro_batch_size: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    """Samples per forward pass and rank. Omitted: found automatically."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Length of the run in tokens, where the objective is one of text. Write exactly one of tokens, samples and steps."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """Length of the run in samples."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Length of the run in optimizer steps."""
    optimizer: Optimizer = Optimizer(adamw=AdamW())
    """The optimizer."""
    schedule: Schedule = Schedule()
    """Learning rate over the run."""
    max_gradient_norm: Annotated[float, Field(ge=0)] = 1.0
    """Gradients are clipped to this norm. 0: not clipped."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Type of the forward and backward pass; weights and optimizer stay in fp32. auto: bf16 where the hardware has it."""
    compile: bool = False
    """Compile the model with torch.compile."""
    activation_checkpointing: Literal["none", "full"] = "none"
    """full: recompute each layer's activations in the backward pass."""
    parallelism: Parallelism = Parallelism()
    """How the model is divided over ranks."""
    seed: Annotated[int, Field(ge=0, le=1 << 53)] = 42
    """Seed of the data order and the initial weights."""


class Recovery(ApiModel):
    """What counts as too many failures."""

    max_failures: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    """Failures within the window that end the job. Progress resets the count; disruptions are never counted."""
    window_seconds: Annotated[int, Field(ge=1, le=10_000_000)] = 3600
    """Length of the sliding window."""
    hang_timeout_seconds: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Seconds without progress within a step that count as a hang; whatever waits for storage or is compiled is none. 0: learned from the steps, at least 10."""


class Checkpoint(ApiModel):
    """When checkpoints are written and which are kept."""

    every_seconds: Annotated[int, Field(ge=1, le=1_000_000)] = 300
    """Seconds between checkpoints."""
    keep_last: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Newest checkpoints to keep."""
    keep_every_steps: Annotated[int, Field(ge=0)] = 10000
    """Additionally keep one checkpoint in each interval of this many steps. 0: none."""
    external_lock: bool = False
    """Whether something else makes sure that only one training at a time writes to the storage, so that a store without conditional writes may be used. false: such a store is refused."""


class Evaluation(ApiModel):
    """Evaluation during training and at the end."""

    every_steps: Annotated[int, Field(ge=0)] = 1000
    """Steps between evaluations on the validation documents. 0: only at the end."""
    prompts: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=64)] = []
    """Prompts to continue in the report; of maskedLM with masks, <|mask|>, and of spanCorruption with sentinels, <extra_id_0>. Empty: openings of validation documents."""
    labels: Annotated[str, Field(max_length=256)] = ""
    """Where the records of images say what they show, for k-nearest-neighbour, linear and zero-shot classification: a member, such as `cls`, or a field of their JSON, such as `category`. Training never sees it. Empty: images are judged by the loss alone, and clip by retrieval."""
    prompt_templates: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=128)] = []
    """Texts that say of a label what clip compares images with, `a photo of a {}`; the mean over all of them counts. Empty: the label itself."""


class HuggingFaceExport(ApiModel):
    """A folder that AutoTokenizer and the AutoModel class of the objective load, AutoModelForCausalLM say."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the exported weights."""


class Export(ApiModel):
    """Forms in which the model leaves the run."""

    hugging_face: HuggingFaceExport | None = None
    """Writes a Hugging Face folder."""

"""`report/report.json` as types: what a run was, did and found. The page is made from the same values.

Every field that a stage has not filled keeps its default, so that a report of an unfinished run has the same form.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pretrain_api.types.base import ApiModel
from pretrain_api.types.status import StageState, State, TimeSpent


class StageReport(ApiModel):
    """One stage of the pipeline."""

    name: str
    state: StageState
    seconds: float = 0
    """Seconds that the stage's programs worked, over all attempts, when it completed; 0 before."""
    attempts: int = 0
    """How many programs it took, interrupted ones included; 0 before it is complete."""
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    skipped: bool = False
    """The stage was complete before the job's last start."""
    started: datetime | None = None
    completed: datetime | None = None
    message: str = ""
    details: dict[str, Any] = Field(default_factory=dict)
    """What the stage itself recorded."""


class SourceReport(ApiModel):
    """A source of the mixture: what was planned and what training saw."""

    license: str = ""
    planned_ratio: float = 0
    """Share of the samples by the weights alone."""
    seen_ratio: float = 0
    """Share of the samples that training saw; maxEpochs makes it differ from the plan."""
    samples_seen: int = 0
    tokens_seen: int = 0
    epochs_seen: float = 0
    train_tokens: int = 0
    """Tokens of one epoch."""
    validation_tokens: int = 0
    train_samples: int = 0
    """Sequences or images of one epoch."""
    validation_samples: int = 0


class _Measured(ApiModel):
    """Figures, of which an objective has some; the others are left out."""

    @model_serializer(mode="wrap")
    def _those_there_are(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class BaselinesReport(_Measured):
    """Simple models on the same text: bits per byte where text is predicted from left to right, else the figures of who
    knows the frequencies of tokens."""

    gzip: float | None = None
    xz: float | None = None
    byte5gram: float | None = Field(default=None, alias="byte5gram")  # the generator would make it byte5Gram
    unigram_loss: float | None = None
    """Nats per predicted token."""
    unigram_accuracy: float | None = None
    random_knn_accuracy: float | None = None
    """Of features of the model before its first step."""
    random_linear_accuracy: float | None = None
    pixels_knn_accuracy: float | None = None
    pixels_linear_accuracy: float | None = None
    random_image_to_text_recall1: float | None = None
    random_image_to_text_recall5: float | None = None
    random_text_to_image_recall1: float | None = None
    random_text_to_image_recall5: float | None = None
    random_zero_shot_accuracy: float | None = None
    chance_image_to_text_recall1: float | None = None
    """Of who answers at random, of whom these are the means."""
    chance_image_to_text_recall5: float | None = None
    chance_text_to_image_recall1: float | None = None
    chance_text_to_image_recall5: float | None = None
    chance_zero_shot_accuracy: float | None = None
    most_frequent: float | None = None
    """Accuracy of who always says the most frequent label."""


class SourceEvaluation(_Measured):
    """The trained model on the held-out text or images of a source."""

    loss: float
    """Nats per predicted token; of a prefix language model, of those behind random prefixes. Of images, that of the
    objective."""
    perplexity: float | None = None
    loss_without_prefix: float | None = None
    """Of a prefix language model, nats per token of the whole text, predicted from left to right."""
    bits_per_byte: float | None = None
    """Of text that is predicted from left to right."""
    accuracy: float | None = None
    """Share of the predicted tokens that the model holds most probable, where not all tokens are predicted."""
    tokens: int | None = None
    predicted_tokens: int | None = None
    bytes: int | None = None
    documents: int | None = None
    images: int | None = None
    classes: int | None = None
    """Labels that training has."""
    knn_accuracy: float | None = None
    """Share of held-out images whose label their nearest neighbours in training tell, by the model's features."""
    linear_accuracy: float | None = None
    """The same of a linear classifier of the features."""
    image_to_text_recall1: float | None = None
    """Share of held-out images whose own caption is nearest to them, of the captions of all held-out images."""
    image_to_text_recall5: float | None = None
    """The same, where it is among the five nearest."""
    text_to_image_recall1: float | None = None
    """Share of held-out captions whose own image is nearest to them."""
    text_to_image_recall5: float | None = None
    zero_shot_accuracy: float | None = None
    """Share of held-out images to which their own label is nearest, of the labels that held-out images have, as
    evaluation.promptTemplates word them."""
    baselines: BaselinesReport


class SampleReport(ApiModel):
    """What the model wrote after a prompt."""

    prompt: str
    text: str
    decoding: Literal["greedy", "sampled", "filled"]
    """filled: `prompt` is a text with masks or sentinels, `text` the same with what the model puts in their place."""
    source: str = ""
    """Source of the document that the prompt opens; empty for a prompt of the job."""


class PictureReport(ApiModel):
    """What a picture shows."""

    name: str
    title: str
    about: str
    path: str
    """Of the PNG file, below the run's storage."""


class TrainingReport(ApiModel):
    """The training stage. report.json has one more field here, `steps`: the figures of each step, each step once."""

    step: int = 0
    samples: int = 0
    tokens: int = 0
    final_loss: float | None = None
    skipped_steps: int = 0
    parameters: int = 0
    parameters_sha256: str = ""
    device: str = ""
    world_size: int = 0
    micro_batch_size: int = 0
    precision: str = ""
    torch_version: str = ""


class Report(ApiModel):
    """report.json."""

    version: Literal[1] = 1
    name: str
    state: State
    message: str = ""
    """Why the job failed; empty otherwise."""
    created: datetime
    goodput_ratio: float | None = None
    """As in the status of the job."""
    time: list[TimeSpent] = Field(default_factory=list)
    """Where the time of the job went until `created`; empty where no status is in the storage, as of a job in a cluster."""
    stages: list[StageReport]
    sources: dict[str, SourceReport]
    training: TrainingReport
    evaluation: dict[str, SourceEvaluation] = Field(default_factory=dict)
    samples: list[SampleReport] = Field(default_factory=list)
    pictures: list[PictureReport] = Field(default_factory=list)

"""What a model of each objective is called, and what it does, in the words of the model card and the page."""

from collections.abc import Mapping
from dataclasses import dataclass

from pretrain_api.objectives import inputs
from pretrain_trainer.reporting.units import IMAGES, TOKENS, Units


@dataclass(frozen=True)
class Task:
    """Of one objective."""

    model: str
    pipeline: str
    """The hub's name of what such a model is for."""
    does: str
    """What the model does to a text."""
    predicted: str = ""
    """Which tokens it is judged by, where they are not a text from left to right."""
    about: str = ""
    """What these tokens are, as a sentence, where their name does not say it."""
    samples: str = "The prompt in colour, then what the model wrote."
    of_predicted: str = ""
    of_whole_text: str = ""
    """Behind the names of figures, where some are those of the predicted tokens and others of the whole text."""
    images: bool = False
    """Whether it learns from images."""
    usage: str = ""
    """Python that gets features of an image from the exported folder, where it is one of images."""

    @property
    def units(self) -> Units:
        """What its runs are counted in."""
        return IMAGES if self.images else TOKENS


_OF_IMAGES = Task("encoder of images", "image-feature-extraction", "sees", images=True)
_CAUSAL = Task("causal language model", "text-generation", "continues")

_TASKS: Mapping[str, Task] = {
    "maskedLM": Task(
        "masked language model",
        "fill-mask",
        "fills gaps in",
        "masked tokens",
        "",
        "The text with masks in colour, then the same with what the model puts in their place.",
    ),
    "prefixLM": Task(
        "prefix language model",
        "text-generation",
        "continues",
        samples="The prompt in colour, read in both directions, then what the model wrote.",
        of_predicted=" behind random prefixes",
        of_whole_text=" without prefix",
    ),
    "mae": Task(
        "masked autoencoder of images",
        "image-feature-extraction",
        "sees",
        images=True,
        about="The loss is the mean squared error of hidden patches, in normalised pixels.",
        usage="""import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained("path/to/this/folder")
model = AutoModel.from_pretrained("path/to/this/folder", mask_ratio=0.0)  # the encoder, which sees every patch
pixels = processor(Image.open("image.png"), return_tensors="pt").pixel_values
side = model.config.image_size // model.config.patch_size
in_order = torch.arange(side**2).float()[None]
patches = model(pixels, noise=in_order).last_hidden_state[:, 1:].unflatten(1, (side, side))
features = patches.mean(dim=(1, 2))  # or, as the figures have them, a mean for each of 4 x 4 parts of the image""",
    ),
    "clip": Task(
        "pair of encoders of images and captions",
        "zero-shot-image-classification",
        "sees",
        images=True,
        about="The loss tells pairs apart by 64 at a time: one that knows nothing has ln 64 = 4.16.",
        usage="""from PIL import Image
from transformers import AutoModel, AutoProcessor

processor = AutoProcessor.from_pretrained("path/to/this/folder")
model = AutoModel.from_pretrained("path/to/this/folder")
captions = ["a red apple", "a dog"]
inputs = processor(text=captions, images=Image.open("image.png"), padding=True, truncation=True, return_tensors="pt")
probabilities = model(**inputs).logits_per_image.softmax(dim=1)""",
    ),
    "simclr": Task(
        "contrastive encoder of images",
        "image-feature-extraction",
        "sees",
        images=True,
        about="The loss is that of finding a view's partner among the views of 64 images.",
        usage="""from PIL import Image
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained("path/to/this/folder")
model = AutoModel.from_pretrained("path/to/this/folder")
pixels = processor(Image.open("image.png"), return_tensors="pt").pixel_values
found = model(pixels)
is_vit = found.last_hidden_state.ndim == 3  # then the class token, else the mean over all places
features = found.last_hidden_state[:, 0] if is_vit else found.pooler_output.flatten(1)""",
    ),
    "dino": Task(
        "self-distilled encoder of images",
        "image-feature-extraction",
        "sees",
        images=True,
        about="The loss is the cross-entropy of what the student says of crops under what the teacher says of other ones; the"
        " model is the teacher.",
        usage="""from PIL import Image
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained("path/to/this/folder")
model = AutoModel.from_pretrained("path/to/this/folder")
pixels = processor(Image.open("image.png"), return_tensors="pt").pixel_values
features = model(pixels).last_hidden_state[:, 0]  # the class token""",
    ),
    "spanCorruption": Task(
        "encoder-decoder language model",
        "text2text-generation",
        "writes what was cut out of",
        "target tokens",
        "Target tokens are those of spans that were cut out, with a sentinel before each span and an end of text.",
        "The text with sentinels for what was cut out in colour, then the same with what the model writes in their place.",
    ),
}


def task(objective: str) -> Task:
    """That of an objective, by its field in spec.objective."""
    known = _TASKS.get(objective)
    return known or (_CAUSAL if inputs(objective) == "text" else _OF_IMAGES)

"""Fine-tunes an exported model with the Hugging Face Trainer, beside the same model from random weights.

    python examples/finetune.py --model runs/quickstart/export/huggingface

The task is code completion for a library that the model has never seen: predict each next token in the sources of the
installed `transformers` package. It learns from some of the files and is scored on others. Both models get the same
data in the same order, the same steps and the same seed; only the weights that they start from differ.
"""

import argparse
import importlib.util
import math
import tempfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

SEQUENCE_LENGTH = 128
BATCH_SIZE = 8
TEST_SEQUENCES = 100
TEST_SHARE = 4
"""One in so many files is kept for the score."""


class Split(NamedTuple):
    """Sequences of SEQUENCE_LENGTH tokens, and the bytes of text that they stand for."""

    sequences: list[dict[str, list[int]]]
    bytes: int


class Score(NamedTuple):
    """On the test files: nats per token, bits per byte, share of next tokens that are right at the first guess."""

    loss: float
    bits_per_byte: float
    accuracy: float


def files() -> tuple[list[Path], list[Path]]:
    """Sources to learn from and sources for the score, chosen by a hash of their names."""
    package = importlib.util.find_spec("transformers")
    assert package is not None
    assert package.origin is not None
    sources = sorted(Path(package.origin).parent.glob("*.py"))
    test = [file for file in sources if zlib.crc32(file.name.encode()) % TEST_SHARE == 0]
    return [file for file in sources if file not in test], test


def split(tokenizer: Any, sources: list[Path], most: int, seed: int) -> Split:
    """At most `most` sequences from the sources, in an order of the seed."""
    sequences = []
    for file in sources:
        tokens = tokenizer(file.read_text(encoding="utf-8"), add_special_tokens=False, verbose=False)["input_ids"]
        starts = range(0, len(tokens) - SEQUENCE_LENGTH + 1, SEQUENCE_LENGTH)
        sequences.extend(tokens[start : start + SEQUENCE_LENGTH] for start in starts)
    order = np.random.default_rng(seed).permutation(len(sequences))[:most]
    chosen = [sequences[place] for place in order]
    size = sum(len(tokenizer.decode(tokens).encode()) for tokens in chosen)
    return Split([{"input_ids": tokens, "labels": tokens} for tokens in chosen], size)


def first_guess_is_right(prediction: EvalPrediction) -> dict[str, float]:
    """Share of next tokens that the most probable one hits."""
    guesses, labels = prediction.predictions[:, :-1], prediction.label_ids[:, 1:]
    return {"accuracy": float((guesses == labels).mean())}


def fine_tune(model: Any, train: Split, test: Split, steps: int, seed: int) -> Score:
    """Fine-tune and score."""
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH_SIZE,
            per_device_eval_batch_size=BATCH_SIZE,
            learning_rate=1e-3,
            warmup_steps=steps // 10,
            lr_scheduler_type="cosine",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=seed,
        )
        trainer = Trainer(
            model=model,
            args=settings,
            train_dataset=train.sequences,
            eval_dataset=test.sequences,
            compute_metrics=first_guess_is_right,
            preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        figures = trainer.evaluate()
    loss = figures["eval_loss"]
    tokens = len(test.sequences) * SEQUENCE_LENGTH
    return Score(loss, loss * tokens / math.log(2) / test.bytes, figures["eval_accuracy"])


def main() -> None:
    """Fine-tune both models and print their scores."""
    parser = argparse.ArgumentParser(description="Fine-tunes an exported model and the same model from random weights.")
    parser.add_argument("--model", default="runs/quickstart/export/huggingface", help="the exported folder")
    parser.add_argument("--steps", type=int, default=40, help="steps of fine-tuning")
    parser.add_argument("--seed", type=int, default=0, help="of the data order and the random weights")
    options = parser.parse_args()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    train_files, test_files = files()
    train = split(tokenizer, train_files, options.steps * BATCH_SIZE, options.seed)
    test = split(tokenizer, test_files, TEST_SEQUENCES, options.seed)
    print(f"{len(train.sequences)} sequences to learn from, {len(test.sequences)} for the score, {options.steps} steps")

    set_seed(options.seed)
    pre_trained = AutoModelForCausalLM.from_pretrained(options.model)
    random = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(options.model))
    print(f"{'start':<16}{'loss':>8}{'bits/byte':>12}{'accuracy':>11}")
    for name, model in (("random weights", random), ("pre-trained", pre_trained)):
        score = fine_tune(model, train, test, options.steps, options.seed)
        print(f"{name:<16}{score.loss:>8.3f}{score.bits_per_byte:>12.3f}{score.accuracy:>11.1%}", flush=True)


if __name__ == "__main__":
    main()

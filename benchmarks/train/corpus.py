"""The corpus of the training benchmark: the standard library's sources as token shards and their tokenizer, made once per
folder."""

import sysconfig
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from pretrain_api import layout
from pretrain_api.objectives import MASK, SENTINELS
from pretrain_api.shards import Manifest, Split
from pretrain_api.storage import Storage
from pretrain_trainer.data import shards
from pretrain_trainer.tokenizer import CONFIG_FILE, END_OF_TEXT, TOKENIZER_FILE

ENCODE, TOKENIZER = "benchmark-encode", "benchmark-tokenizer"
SOURCE = "library"


def write(root: Path, vocab_size: int, sequence_length: int, samples: int) -> None:
    """Train a tokenizer and write that many training sequences, documents behind one another."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [END_OF_TEXT, MASK, *SENTINELS]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
    )
    wanted, parts, starts, total = samples * (sequence_length + 1), [], [], 0
    while total < wanted:
        for text in texts:
            ids = [*tokenizer.encode(text).ids, 0]
            starts.append(total)
            parts.append(ids)
            total += len(ids)
            if total >= wanted:
                break
    block = np.concatenate(parts)[:wanted].astype(np.uint16).reshape(samples, sequence_length + 1)
    storage, folder = Storage(str(root)), layout.shards(ENCODE, SOURCE)
    storage.write_bytes(f"{layout.tokenizer(TOKENIZER)}/{TOKENIZER_FILE}", tokenizer.to_str().encode())
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT, "mask_token": MASK}
    storage.write_json(f"{layout.tokenizer(TOKENIZER)}/{CONFIG_FILE}", named)
    with storage.create(f"{folder}/000000.tar") as file:
        writer = shards.ShardWriter(file)
        writer.write(0, block, np.array(starts, dtype=np.uint32), block.size)
        index, size, sha256 = writer.close()
    shards.publish_index(storage, folder, 0, index)
    manifest = Manifest(
        fingerprint=ENCODE,
        source=SOURCE,
        sequence_length=sequence_length,
        samples_per_record=samples,
        dtype="uint16",
        vocab_size=vocab_size,
        tokenizer_sha256="0" * 64,
        end_of_text=0,
        padding=0,
        train=Split(
            shards=[shards.described("", 0, index, size, sha256)],
            samples=samples,
            tokens=block.size,
            documents=len(starts),
        ),
        validation=Split(),
    )
    storage.write_json(f"{folder}/{layout.MANIFEST}", manifest.model_dump(mode="json"))

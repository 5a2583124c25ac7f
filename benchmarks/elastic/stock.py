"""What one would write for torchrun by hand: data-parallel steps on the CPU, a checkpoint every so many of them, and the
newest one loaded at the start. Tells of each step in a file of its own, `time step`."""

import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

STEPS_BETWEEN_CHECKPOINTS = 10
GLOBAL_BATCH, LENGTH, WIDTH, VOCABULARY = 12, 32, 32, 61


class Model(nn.Module):
    """Two layers of a transformer, as small as the one that ours trains."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 64, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.output = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits, float32 [batch, length, vocabulary], of int64 [batch, length]."""
        found: torch.Tensor = self.output(self.layers(self.embedding(tokens)))
        return found


def main() -> None:
    """Train until somebody ends it."""
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters())
    step, saved = 0, folder / "checkpoint.pt"
    if saved.exists():
        found = torch.load(saved)
        step = found["step"]
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
    parallel = DistributedDataParallel(model)
    with open(folder / f"steps-{os.getpid()}", "a", buffering=1) as told:
        while True:
            tokens = torch.randint(VOCABULARY, (max(1, GLOBAL_BATCH // size), LENGTH))
            loss = nn.functional.cross_entropy(parallel(tokens).flatten(0, 1), tokens.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            told.write(f"{time.time()} {step}\n")
            if rank == 0 and step % STEPS_BETWEEN_CHECKPOINTS == 0:
                torch.save(
                    {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, f"{saved}.new"
                )
                os.replace(f"{saved}.new", saved)


if __name__ == "__main__":
    main()

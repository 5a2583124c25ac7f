"""Records of the commit log."""

from datetime import UTC, datetime

from pretrain_api.commits import Commit


def a_commit(sequence: int = 1, *, step: int = 0, generation: int = 1, nonce: str = "n") -> Commit:
    return Commit(
        sequence=sequence,
        fingerprint="f",
        generation=generation,
        step=step,
        samples=step,
        tokens=step,
        final=False,
        data=f"checkpoints/data/{step:08d}-{generation}-{nonce}",
        manifest_sha256="",
        history="",
        time=datetime.now(UTC),
        nonce=nonce,
    )

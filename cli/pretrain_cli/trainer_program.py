"""Programs of the trainer that commands start: its libraries stay out of the command line, in the image of a cluster too."""

import subprocess
import sys


def run(module: str, *arguments: str) -> int:
    """Run `pretrain_trainer.<module>` with these arguments and this process's standard streams; its exit code."""
    return subprocess.run([sys.executable, "-m", f"pretrain_trainer.{module}", *arguments], check=False).returncode

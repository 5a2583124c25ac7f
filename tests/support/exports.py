"""What a person does first with an exported model, in a process that knows nothing of this project."""

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
inputs = tokenizer(sys.argv[2], return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=8, do_sample=False)[0]))
"""


def generated(folder: Path, prompt: str) -> str:
    """The prompt and what the model in the folder makes of it."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder), prompt], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

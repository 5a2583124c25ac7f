"""What is wrong with a job: one Problem per mistake, all of a file's problems raised together as InvalidJob.

How mistakes are found lives in `pretrain_api.parse` and `pretrain_api.rules`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pretrain_api.errors import UserError

Path = tuple[str | int, ...]
"""Where a value stands: ("spec", "data", "sources", 0, "name")."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def path_text(path: Sequence[str | int]) -> str:
    """The path as people write it: `spec.data.sources[0].name`; keys with other signs are quoted in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.match(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


@dataclass(frozen=True)
class Problem:
    """One mistake. `origin` says where it was written: "job.yaml:14" or "--set spec.training.steps=x"."""

    code: str
    path: Path
    what: str
    instead: str
    origin: str = ""

    @property
    def where(self) -> str:
        return ": ".join(part for part in (self.origin, path_text(self.path)) if part)

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.where}:", self.what, self.instead, f"[{self.code}]") if part)

    def at(self, origin: str) -> "Problem":
        """The same problem with its place in the file."""
        return replace(self, origin=origin)


class InvalidJob(UserError):
    """A job with at least one problem. `code` is the first problem's."""

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.name, self.problems = name, tuple(problems)
        first = self.problems[0]
        super().__init__(first.code, first.where, first.what, first.instead)
        self.args = (name, self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        return "\n".join(
            [f"{self.name}: {len(self.problems)} problems", *(f"  {problem}" for problem in self.problems)]
        )


def closest(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant, or ""; capitals, '_' and '-' do not count."""
    import difflib

    plain = {re.sub("[_-]", "", candidate).lower(): candidate for candidate in names}
    wanted = re.sub("[_-]", "", name).lower()
    match = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.7)
    return plain[match[0]] if match else ""


def is_encodable(text: str) -> bool:
    """Whether the text can be written as UTF-8; arguments and file names that were not UTF-8 cannot, nor
    all that JSON's escapes allow."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """The value as it would stand in YAML, shortened to 80 characters."""
    import json

    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 80 else text[:77] + "..."

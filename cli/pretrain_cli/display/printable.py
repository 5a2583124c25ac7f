"""Texts that others wrote, as a terminal may have them: what would steer it is shown as an escape and does nothing. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but tabulator and line feed, the eight-bit ones included."""


def escaped(text: str) -> str:
    r"""The text with \x1b in the place of the escape character."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def printable(model: _Model) -> _Model:
    """The same with all its texts escaped, such as a status: programs of many kinds have written into it."""
    return model.model_copy(update={name: _printable(value) for name, value in model})


def _printable(value: Any) -> Any:
    match value:
        case str():
            return escaped(value) if _CONTROLS.search(value) else value
        case BaseModel():
            return printable(value)
        case list() | tuple():
            return type(value)(_printable(each) for each in value)
        case dict():
            return {_printable(key): _printable(each) for key, each in value.items()}
    return value

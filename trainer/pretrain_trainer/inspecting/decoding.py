"""Whether the content of a member is what its name says. Nothing is kept of what was decoded."""

from __future__ import annotations

import json

from pretrain_api.errors import UserError
from pretrain_api.samples import kind_of
from pretrain_trainer.data.images import BrokenImage, decoded
from pretrain_trainer.indexing import arrays


def fault(member: str, content: bytes) -> str:
    """What is wrong with a member, in words; empty where nothing is."""
    kind = kind_of(member)
    if not content and kind in ("json", "array"):
        return "it is empty"
    try:
        if kind == "image":
            decoded(content)
        elif kind == "text":
            content.decode()
        elif kind == "json":
            json.loads(content)
        elif kind == "array":
            arrays.describe(content, member)
    except BrokenImage as error:
        return str(error)
    except UserError as error:
        return error.what.rstrip(".")
    except UnicodeDecodeError as error:
        return f"it is not UTF-8: byte {error.start} is {content[error.start]:#04x}"
    except (ValueError, RecursionError) as error:  # json.JSONDecodeError is one
        return f"it is not valid {kind}: {error}"
    return ""

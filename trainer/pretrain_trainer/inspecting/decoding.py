"""Whether the content of a member is what its name says. Nothing is kept of what was decoded."""

from __future__ import annotations

import io
import json

from pretrain_api.errors import UserError
from pretrain_api.samples import kind_of
from pretrain_trainer.indexing import arrays


def fault(member: str, content: bytes) -> str:
    """What is wrong with a member, in words; empty where nothing is."""
    kind = kind_of(member)
    if not content and kind in ("image", "json", "array"):
        return "it is empty"
    try:
        if kind == "image":
            _decode_image(content)
        elif kind == "text":
            content.decode()
        elif kind == "json":
            json.loads(content)
        elif kind == "array":
            arrays.describe(content, member)
    except UserError as error:
        return error.what.rstrip(".")
    except UnicodeDecodeError as error:
        return f"it is not UTF-8: byte {error.start} is {content[error.start]:#04x}"
    except (ValueError, RecursionError) as error:  # json.JSONDecodeError is one
        return f"it is not valid {kind}: {error}"
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise what they like
        return f"it cannot be decoded: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return ""


def _decode_image(content: bytes) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except UnidentifiedImageError as error:
        raise OSError("no image format that Pillow knows") from error

"""Which record and member a file of a tar is: the rule of the webdataset library (base_plus_ext and tar_file_iterator)."""

import re

from pretrain_api.errors import UserError

_PARTS = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
_PASSED_OVER = re.compile(r"__[^/]*__($|/)")


def split_name(name: str) -> tuple[str, str] | None:
    """Key of the record and name of the member: `a/b/0001.seg.png` is member `seg.png` of record `a/b/0001`.

    Member names are in lower case. None for what webdataset passes over: no dot, or a name like `__this__`.
    """
    if _PASSED_OVER.match(name):
        return None
    match = _PARTS.match(name)
    return (match.group(1), match.group(2).lower()) if match else None


def shown(name: str) -> str:
    """A name for a message: as it is, or quoted with escapes where a terminal would do something with it."""
    return name if name.isprintable() else repr(name)


def check_name(name: str, where: str) -> None:
    """Raise UserError for a name that cannot be that of a record; `where` names the tar."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = name.encode(errors="surrogateescape")
        raise UserError(
            "member-name", where, f"the name {shown!r} is not UTF-8.", "Write the tar again with names in UTF-8."
        ) from error
    if name.startswith("/") or ".." in name.split("/"):
        raise UserError(
            "member-name",
            where,
            f"the name {name!r} leads out of the archive.",
            "Write the tar again with relative names and without '..'.",
        )
    if "\0" in name:
        raise UserError(
            "member-name", where, f"the name {name!r} holds a zero byte.", "Write the tar again with other names."
        )

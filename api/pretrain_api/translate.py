"""pydantic's errors in the words of a person who writes a job file.

One function per kind of error; each answers (code, what, instead). Imported only once something is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pretrain_api import fields
from pretrain_api.problems import Path, Problem, closest, path_text, shown
from pretrain_api.types import PretrainJob
from pretrain_api.types.base import ApiModel

_OTHER_NAMES = {
    "lr": "learningRate",
    "batchsize": "globalBatchSize",
    "perdevicetrainbatchsize": "microBatchSize",
    "contextlength": "sequenceLength",
    "seqlen": "sequenceLength",
    "maxlength": "sequenceLength",
    "maxsteps": "steps",
    "epochs": "maxEpochs",
    "numtrainepochs": "maxEpochs",
    "gpus": "processesPerWorker",
    "nprocpernode": "processesPerWorker",
    "gradientclipping": "maxGradientNorm",
    "maxgradnorm": "maxGradientNorm",
    "languages": "language",
    "dedup": "deduplicate",
    "outputdir": "storage",
}
"""Names that other trainers use, lower case without '_', and what the field is called here."""

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "datetime_type": "a time, such as 2026-01-31T12:00:00Z",
}

_PATTERNS = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "Write lower-case letters, digits and '-', beginning and ending with a letter or digit.",
    r"^[a-z]{2,3}$": "Write ISO 639 codes of two or three lower-case letters, such as en.",
}


def problems(errors: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """pydantic's errors as Problems. Where one of two types would do, text is the one that people write."""
    texts = {_path(error["loc"]) for error in errors if error["type"] == "string_pattern_mismatch"}
    for error in errors:
        if error["type"] != "int_type" or _path(error["loc"]) not in texts:
            yield _problem(error)


def _problem(error: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors."""
    path = _path(error["loc"])
    kind: str = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    value = error["input"]
    if kind == "extra_forbidden":
        return _unknown_field(path)
    if kind == "missing":
        return _missing_field(path)
    if kind == "literal_error":
        return _unknown_value(path, value)
    if kind in _TYPES:
        return _wrong_type(path, kind, value)
    if kind == "string_pattern_mismatch":
        instead = _PATTERNS.get(context["pattern"], "Write a Kubernetes quantity, such as 8, 500m or 16Gi.")
        return Problem("malformed-text", path, f"{shown(value)} is not allowed here.", instead)
    return _out_of_bounds(path, kind, context, value)


def _path(location: tuple[str | int, ...]) -> Path:
    """The location without pydantic's marks: branches of a union, and the key of a map."""
    path: Path = tuple(part for part in location if part != "[key]")
    while path and path[-1] in ("int", "str", "constrained-int", "constrained-str"):
        path = path[:-1]
    return path


def _names(path: Path) -> list[str]:
    return [part for part in path if isinstance(part, str)]


def _model_at(path: Path) -> type[ApiModel] | None:
    if not path:
        return PretrainJob
    node = fields.find(_names(path))
    return node.model if node else None


def _places(name: str) -> list[str]:
    """Paths below spec at which a field of this name stands."""
    places = []
    for node in fields.walk():
        if node.path[0] == "spec" and node.path[-1] == name:
            parts = [f"{p}[]" if _is_list(node.path[: i + 1]) else p for i, p in enumerate(node.path[:-1])]
            places.append(".".join([*parts, name]))
    return places


def _is_list(path: tuple[str, ...]) -> bool:
    node = fields.find(path)
    return node is not None and str(node.annotation).startswith("list")


def _unknown_field(path: Path) -> Problem:
    model, name = _model_at(path[:-1]), str(path[-1])
    present = [node.path[-1] for node in fields.children(model)] if model else []
    here = closest(name, present)
    plain = name.replace("_", "").replace("-", "").lower()
    meant = _OTHER_NAMES.get(plain, name)
    if meant in present:
        here = meant
    elsewhere = [] if here else _places(meant) or _places(closest(meant, {n.path[-1] for n in fields.walk()}))
    if here:
        instead = f"Write {here}."
    elif elsewhere:
        instead = f"Write {' or '.join(elsewhere[:2])}."
    elif present:
        instead = f"Fields here: {', '.join(present)}."
    else:
        instead = "Remove it: this object has no fields, write {}."
    return Problem("unknown-field", path, "unknown field.", instead)


def _missing_field(path: Path) -> Problem:
    node = fields.find(_names(path))
    purpose = node.description if node else ""
    form = "{...}" if node and node.model and not _is_list(node.path) else "[...]" if node and node.model else "..."
    return Problem("missing-field", path, "required, but not written.", f"Write {path[-1]}: {form} ({purpose})")


def choices(path: Path) -> list[str]:
    """The values that an enumerated field takes; empty for other fields."""
    node = fields.find(_names(path))
    if node is None:
        return []
    annotation = fields.item_type(node.annotation) or node.annotation
    return [str(value) for value in fields.literal_values(annotation)]


def _unknown_value(path: Path, value: Any) -> Problem:
    if path == ("apiVersion",):
        return Problem("wrong-api-version", path, f"{shown(value)} is unknown.", "Write pretrain.dev/v1alpha1.")
    if path == ("kind",):
        return Problem("wrong-kind", path, f"{shown(value)} is not a PretrainJob.", "Write PretrainJob.")
    allowed = choices(path)
    meant = closest(str(value), allowed)
    instead = f"Write {meant}." if meant else "Write one of them."
    return Problem("unknown-value", path, f"{shown(value)} is not one of {', '.join(allowed)}.", instead)


def _wrong_type(path: Path, kind: str, value: Any) -> Problem:
    wanted = _TYPES[kind]
    instead = f"Write {wanted}."
    if wanted == "a mapping":
        node = fields.find(_names(path))
        names = [child.path[-1] for child in fields.children(node.model)] if node and node.model else []
        label = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
        instead = f"Write {label}{{{names[0]}: ...}}." if names else f"Write {label}{{}}."
        if str(value) in names:
            instead = f"Write {label}{{{value}: {{}}}}."
    elif wanted == "a list":
        instead = f"Write [{value}]." if isinstance(value, str | int) else "Write a list: lines that begin with '- '."
    elif wanted == "text" and not isinstance(value, dict | list):
        instead = f'Quote it: "{value}".'
        if isinstance(value, bool):
            words = "yes, y, on" if value else "no, n, off"
            instead = f"YAML reads {words} and {str(value).lower()} as {str(value).lower()}; quote the text."
    elif isinstance(value, str) and wanted != "text":
        from pretrain_api.yaml_text import scalar

        plain = scalar(value)
        if isinstance(plain, bool | int | float):
            instead = f"Remove the quotes: {value}."
        elif kind == "bool_type" and value.lower() in ("true", "false", "yes", "no"):
            instead = f"Write {value.lower()}."
    return Problem("wrong-type", path, f"{shown(value)} is not {wanted}.", instead)


def _out_of_bounds(path: Path, kind: str, context: Mapping[str, Any], value: Any) -> Problem:
    """Numbers, texts, lists and maps outside their bounds."""
    number = {"greater_than_equal": ("ge", "below {}", "Write {} or more."),
              "greater_than": ("gt", "not above {}", "Write more than {}."),
              "less_than_equal": ("le", "above {}", "Write {} or less."),
              "less_than": ("lt", "not below {}", "Write less than {}.")}  # fmt: skip
    if kind in number:
        key, what, instead = number[kind]
        bound = f"{context[key]:g}" if isinstance(context[key], float) else str(context[key])
        return Problem("out-of-bounds", path, f"{shown(value)} is {what.format(bound)}.", instead.format(bound))
    least, most = context.get("min_length"), context.get("max_length")
    unit = "characters" if kind.startswith("string") else "entries"
    if least is not None:
        what = "empty." if not value else f"{len(value)} {unit}, fewer than {least}."
        return Problem(
            "out-of-bounds", path, what, f"Write at least {least} {unit if least != 1 else unit_of_one(unit)}."
        )
    if most is not None:
        return Problem(
            "out-of-bounds", path, f"{len(value)} {unit}, more than {most}.", f"Write at most {most} {unit}."
        )
    raise AssertionError(f"no words for pydantic's {kind} at {path_text(path)}")


def unit_of_one(unit: str) -> str:
    """The unit in the singular."""
    return {"characters": "character", "entries": "entry"}[unit]

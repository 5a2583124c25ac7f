"""The documentation of every field, and the way from a path to its type.

A field's documentation is the text below it in `pretrain_api/types/*.py`. It is read from the source with `ast` when
somebody asks, since pydantic's own option for this doubles the time of every import.
"""

import ast
import functools
import inspect
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from pretrain_api.types import PretrainJob
from pretrain_api.types.base import ApiModel


@functools.cache
def _module_docs(module: str) -> dict[str, dict[str, str]]:
    """Class name -> field name -> text below the field; "" holds the class's own docstring."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    docs: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = docs[node.name] = {"": inspect.cleandoc(ast.get_docstring(node) or "")}
        for statement, following in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                texts[statement.target.id] = inspect.cleandoc(following.value.value)
    return docs


def description(model: type[ApiModel], field: str = "") -> str:
    """What the field is for; without a field, what the model is for. "" where nothing is written."""
    return _module_docs(model.__module__).get(model.__name__, {}).get(field, "")


def alias(name: str, info: FieldInfo) -> str:
    """The field's name in YAML."""
    return info.alias or name


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation)


def unwrapped(annotation: Any) -> Any:
    """The annotation without Annotated and `| None`."""
    if hasattr(annotation, "__metadata__"):
        return unwrapped(_arguments(annotation)[0])
    arguments = _arguments(annotation)
    if type(None) in arguments:
        rest = [a for a in arguments if a is not type(None)]
        return unwrapped(rest[0]) if len(rest) == 1 else typing.Union[tuple(rest)]  # noqa: UP007 - built at run time
    return annotation


def item_type(annotation: Any) -> Any:
    """The type of a list's entries or a map's values; None for everything else."""
    plain = unwrapped(annotation)
    origin = typing.get_origin(plain)
    if origin is list:
        return unwrapped(_arguments(plain)[0])
    if origin is dict:
        return unwrapped(_arguments(plain)[1])
    return None


def model_of(annotation: Any) -> type[ApiModel] | None:
    """The model behind an annotation, list entries included."""
    plain = unwrapped(annotation)
    item = item_type(plain)
    candidate = plain if item is None else item
    return candidate if isinstance(candidate, type) and issubclass(candidate, ApiModel) else None


@dataclass(frozen=True)
class Node:
    """A field as it stands in the tree."""

    path: tuple[str, ...]
    """Names in YAML, list indexes left out: ("spec", "data", "sources", "name")."""
    owner: type[ApiModel]
    name: str
    """The field's name in Python."""
    info: FieldInfo

    @property
    def annotation(self) -> Any:
        return unwrapped(self.info.annotation)

    @property
    def model(self) -> type[ApiModel] | None:
        """The model of the field's value or of its entries."""
        return model_of(self.info.annotation)

    @property
    def description(self) -> str:
        return description(self.owner, self.name)


def children(model: type[ApiModel], path: tuple[str, ...] = ()) -> list[Node]:
    """The fields of a model, in the order in which they are written."""
    return [Node((*path, alias(name, info)), model, name, info) for name, info in model.model_fields.items()]


def find(path: Sequence[str]) -> Node | None:
    """The field at a path of YAML names from the top; None where there is none."""
    model: type[ApiModel] | None = PretrainJob
    node: Node | None = None
    for depth, part in enumerate(path):
        if model is None:
            return None
        node = next((child for child in children(model, tuple(path[:depth])) if child.path[-1] == part), None)
        if node is None:
            return None
        model = node.model
    return node


def walk(model: type[ApiModel] = PretrainJob, path: tuple[str, ...] = ()) -> Iterator[Node]:
    """Every field below a model, parents before children."""
    for node in children(model, path):
        yield node
        if node.model is not None:
            yield from walk(node.model, node.path)


def literal_values(annotation: Any) -> tuple[Any, ...]:
    """The values of a Literal; empty for other types."""
    return _arguments(annotation) if typing.get_origin(annotation) is typing.Literal else ()

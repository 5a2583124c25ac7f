"""The Helm chart rendered by the real Helm, as objects that tests look into."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "charts" / "pretrain-operator"
RELEASE, NAMESPACE = "pretrain-operator", "pretrain-system"

Values = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """The objects of one rendering."""

    objects: tuple[dict[str, Any], ...]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [item for item in self.objects if item["kind"] == kind]

    def named(self, kind: str, name: str = RELEASE) -> dict[str, Any] | None:
        """The object of a kind and name, None if it was not rendered."""
        found = [item for item in self.all(kind) if item["metadata"]["name"] == name]
        assert len(found) < 2, f"{len(found)} objects {kind} {name}"
        return found[0] if found else None

    @property
    def pod(self) -> dict[str, Any]:
        """The template of the operator's pods."""
        [deployment] = self.all("Deployment")
        template: dict[str, Any] = deployment["spec"]["template"]
        return template

    @property
    def container(self) -> dict[str, Any]:
        [container] = self.pod["spec"]["containers"]
        return dict(container)


def at(kind: str, path: str, name: str = RELEASE) -> Callable[[Rendered], Any]:
    """A look at one field of one object; None where there is no such object or field."""

    def look(rendered: Rendered) -> Any:
        value: Any = rendered.named(kind, name)
        for part in path.split(".") if path else []:
            if value is None:
                return None
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        return value

    return look


def nested(path: str, value: Any) -> Values:
    """Values with one field written, by its dotted path."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)


def overlaid(below: Values, above: Values) -> Values:
    """Values over values, as Helm merges files."""
    both = {
        key: overlaid(below[key], above[key]) for key in below.keys() & above.keys() if isinstance(above[key], dict)
    }
    return {**below, **above, **both}


def value_paths(schema: dict[str, Any] | None = None, path: str = "") -> Iterator[str]:
    """The dotted path of every value of the chart. `global` is that of a chart around it."""
    schema = schema or json.loads((CHART / "values.schema.json").read_text())
    for name, below in schema["properties"].items():
        if name == "global":
            continue
        if "properties" in below:
            yield from value_paths(below, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def helm_template(helm: str, values: str) -> subprocess.CompletedProcess[str]:
    command = [helm, "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values=-"]
    return subprocess.run(command, input=values, capture_output=True, text=True, check=False)


def render(helm: str, values: Values | None = None) -> Rendered:
    """The chart's objects with values over its defaults. Tests must not change them: many look at the same."""
    return _rendered(helm, json.dumps(values or {}))


@functools.cache
def _rendered(helm: str, values: str) -> Rendered:
    done = helm_template(helm, values)
    assert done.returncode == 0, done.stderr
    return Rendered(tuple(item for item in yaml.load_all(done.stdout, yaml.CSafeLoader) if item))


def refusal(helm: str, values: Values) -> str:
    """What Helm says to values that the chart does not take."""
    done = helm_template(helm, json.dumps(values))
    assert done.returncode != 0, f"{values} were taken"
    return done.stderr

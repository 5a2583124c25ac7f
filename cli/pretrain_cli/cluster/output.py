"""Jobs on standard output: a table, whole objects, or names, once or as they change."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click

from pretrain_cli.cluster import jobs, table
from pretrain_cli.cluster.connection import Json
from pretrain_cli.cluster.watching import Change
from pretrain_cli.standard_error import say


class Printer:
    """Prints jobs in one form."""

    def __init__(self, form: str, all_namespaces: bool) -> None:
        self._form, self._all_namespaces = form, all_namespaces
        self._widths: list[int] = []

    def show(self, found: Sequence[Json], as_list: bool) -> None:
        """Print the jobs that there are."""
        found = [plain(job) for job in found]
        if self._form == "name":
            for job in found:
                click.echo(name(job))
        elif self._form in ("json", "yaml"):
            document: Json = {"apiVersion": "v1", "kind": "List", "items": found} if as_list else found[0]
            click.echo(text(document, self._form))
        elif found:
            self._rows(found)

    def follow(self, changes: Iterable[Change], until_deleted: bool = False) -> None:
        """Print the jobs that there are, then each as it changes. A list read anew shows only what differs."""
        shown: dict[str, str] = {}
        for change in changes:
            fresh = [o for o in change.objects if shown.get(_uid(o)) != _version(o) or change.kind == "Deleted"]
            shown.update((_uid(o), _version(o)) for o in fresh)
            if change.kind == "Deleted":
                for job in fresh:
                    say(f"{name(job)} deleted")
            elif fresh and self._form in ("text", "wide"):
                self._rows([plain(job) for job in fresh])
            else:
                for job in fresh:
                    self.show([job], as_list=False)
            is_gone = change.kind == "Deleted" or (change.kind == "Listed" and not change.objects)
            if until_deleted and is_gone:
                return

    def _rows(self, found: Sequence[Json]) -> None:
        """Rows below the header; those that come later keep the columns as far as they fit."""
        wide, now = self._form == "wide", datetime.now(UTC)
        rows = [table.row(job, wide, self._all_namespaces, now) for job in found]
        if not self._widths:
            rows.insert(0, table.header(wide, self._all_namespaces))
        self._widths = table.column_widths(rows, self._widths)
        for line in table.aligned(rows, self._widths):
            click.echo(line)


def plain(job: Json) -> Json:
    """A job without the API server's book-keeping of who wrote which field."""
    metadata = {key: value for key, value in job["metadata"].items() if key != "managedFields"}
    return {**job, "metadata": metadata}


def name(job: Json) -> str:
    """As kubectl writes it: pretrainjob.pretrain.dev/gpt-small."""
    return f"{jobs.KIND}/{job['metadata']['name']}"


def text(document: Json | list[Json], form: str) -> str:
    """A document as JSON or YAML."""
    if form == "json":
        return json.dumps(document, indent=2, ensure_ascii=False)
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True)).rstrip("\n")


def _uid(job: Json) -> str:
    return str(job["metadata"]["uid"])


def _version(job: Json) -> str:
    return str(job["metadata"]["resourceVersion"])

"""Prometheus on this machine: it scrapes the addresses that tests name, and tests ask it.

Debian's has no discovery of pods, so whoever starts it says which; `support.cluster.discovery` does for a cluster's monitors.
"""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.cluster import processes, programs
from support.cluster.ports import free_port


class Prometheus:
    """One server."""

    def __init__(self, folder: Path, *, dies_with_parent: bool = True) -> None:
        self.folder = folder
        (folder / "targets").mkdir(parents=True, exist_ok=True)
        self._dies_with_parent = dies_with_parent
        port = folder / "port"
        if not port.exists():
            port.write_text(str(free_port()))
        self.url = f"http://127.0.0.1:{port.read_text()}"

    def start(self, rules: Path | None = None, scrapes: Sequence[Mapping[str, Any]] = ()) -> None:
        """Start it, with a file of rules if given, and with entries of `scrape_configs` beside that of its own targets."""
        settings = _settings(self.folder, rules, scrapes)
        (self.folder / "prometheus.yml").write_text(json.dumps(settings, indent=1))  # JSON is YAML
        process = processes.start(
            self.folder,
            "prometheus",
            [programs.find("prometheus"), "--config.file", self.folder / "prometheus.yml",
             "--web.listen-address", self.url.removeprefix("http://"), "--storage.tsdb.path", self.folder / "data",
             "--enable-feature=exemplar-storage", "--log.level", "warn"],
            dies_with_parent=self._dies_with_parent,
        )  # fmt: skip
        process.until(self._is_ready)

    def scrape(self, job: str, *targets: str) -> None:
        """From now on, also `address:port` of each target, every 2 seconds; a job's earlier targets are forgotten."""
        content = json.dumps([{"targets": list(targets), "labels": {"job": job}}])
        scratch = self.folder / "targets" / f"{job}.tmp"
        scratch.write_text(content)
        scratch.rename(scratch.with_suffix(".json"))

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series that an expression gives now, or at a Unix time, each with `metric` and `value`."""
        asked = {"query": expression} if at is None else {"query": expression, "time": str(at)}
        answer = self._get(f"/api/v1/query?{urllib.parse.urlencode(asked)}")
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return found

    def over(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series that it gives between two Unix times, each with `metric` and `values` at multiples of `step` seconds."""
        asked = {"query": expression, "start": start, "end": end, "step": step}
        answer = self._get(f"/api/v1/query_range?{urllib.parse.urlencode(asked)}")
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return found

    def exemplars(self, selector: str) -> list[dict[str, Any]]:
        """Labels of the events that are named beside series of the last minutes."""
        now = time.time()
        asked = urllib.parse.urlencode({"query": selector, "start": now - 600, "end": now + 60})
        found = json.loads(self._get(f"/api/v1/query_exemplars?{asked}"))["data"]
        return [exemplar["labels"] for one in found for exemplar in one["exemplars"]]

    def stop(self) -> None:
        for process in processes.recorded(self.folder):
            process.kill()

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            content: bytes = response.read()
        return content

    def _is_ready(self) -> bool:
        try:
            return b"Ready" in self._get("/-/ready")
        except OSError:
            return False


def _settings(folder: Path, rules: Path | None, scrapes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(rules)] if rules else [],
        "scrape_configs": [
            {
                "job_name": "targets",
                "file_sd_configs": [{"files": [str(folder / "targets" / "*.json")], "refresh_interval": "2s"}],
            },
            *scrapes,
        ],
    }

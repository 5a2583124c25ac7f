"""ServiceMonitor, PodMonitor and PrometheusRule as the Prometheus operator defines them, from its Go module. The operator itself is an
image, which cannot be had everywhere: what is proven is that an API server with its definitions takes our objects."""

import json
import os
import subprocess
from pathlib import Path

from support.cluster.build import go
from support.cluster.missing import MissingPart

MODULE, VERSION = "github.com/prometheus-operator/prometheus-operator", "v0.85.0"
_KINDS = ("servicemonitors", "podmonitors", "prometheusrules")
_SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="


def definitions() -> list[Path]:
    """The three CustomResourceDefinitions."""
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOWORK": "off", "GONOSUMDB": MODULE}
    command = [go(), "mod", "download", "-json", f"{MODULE}@{VERSION}"]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPart(f"{MODULE} cannot be downloaded: {done.stdout}{done.stderr}")
    found = json.loads(done.stdout)
    assert found["Sum"] == _SUM, "the module is not the one that was reviewed"
    folder = Path(found["Dir"], "example", "prometheus-operator-crd")
    return [folder / f"monitoring.coreos.com_{plural}.yaml" for plural in _KINDS]

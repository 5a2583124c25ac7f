"""Names in a cluster fit where Kubernetes puts them."""

import re

from pretrain_api import cluster
from pretrain_api.stages import Stage

LONG = "a" * 51 + "z"
"""The longest name that a job may have."""


class TestNames:
    def test_of_pods_and_jobs_are_dns_labels_with_room_for_an_index(self) -> None:
        for name in (
            cluster.phase_name(LONG, Stage.TOKENIZER, 1234, "deduplicate"),
            cluster.worker_name(LONG, 65535, 1234),
        ):
            assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
            assert len(name) <= 63 - len("-65535")

    def test_that_are_short_stay_readable(self) -> None:
        assert cluster.worker_name("gpt", 3, 7) == "gpt-w3-7"
        assert cluster.phase_name("gpt", Stage.PREPARE, 1, "filter") == "gpt-prepare-1-filter"

    def test_that_are_shortened_stay_different(self) -> None:
        assert len({cluster.worker_name(LONG, worker, 1) for worker in range(1000)}) == 1000

    def test_of_a_service_begins_with_a_letter(self) -> None:
        assert cluster.service_name("7b") == "pretrain-7b"
        assert cluster.service_name("llama") == "llama"

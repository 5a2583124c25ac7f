import json
from pathlib import Path

import pytest
from support.prepared import a_job

from pretrain_api.commits import WeightSegment
from pretrain_api.errors import UserError
from pretrain_api.shards import Manifest, Shard, Split
from pretrain_api.storage import Storage
from pretrain_trainer.data.mixture import check_length, mixture_of, read_manifests, segments_from
from pretrain_trainer.data.order import MixtureSource, Segment

SOURCES = [
    {"name": "web", "documents": "x", "weight": 0.7, "maxEpochs": 2},
    {"name": "code", "documents": "y", "weight": 0.3, "maxEpochs": 4},
]


def a_manifest(source: str, samples: int) -> Manifest:
    shard = Shard(name="000000.tar", bytes=1, sha256="", records=-(-samples // 8), samples=samples, tokens=samples * 17)
    return Manifest(
        fingerprint="f", source=source, sequence_length=16, samples_per_record=8, dtype="uint16", vocab_size=300,
        tokenizer_sha256="", end_of_text=0, padding=1, train=Split(shards=[shard], samples=samples), validation=Split(),
    )  # fmt: skip


def test_holds_the_sources_of_the_job_with_their_samples(tmp_path: Path) -> None:
    mixture = mixture_of(a_job(tmp_path, SOURCES).spec, [a_manifest("web", 100), a_manifest("code", 10)])
    assert mixture.sources == (MixtureSource(100, 0.7, 2, 8), MixtureSource(10, 0.3, 4, 8))
    assert mixture.seed == 42


def test_manifests_come_in_the_jobs_order(tmp_path: Path) -> None:
    storage, spec = Storage(str(tmp_path)), a_job(tmp_path, SOURCES).spec
    for name in ("code", "web"):
        storage.write_json(f"shards/f/{name}/manifest.json", a_manifest(name, 5).model_dump())
    assert read_manifests(storage, "f", spec.data.sources) == [
        ("shards/f/web", a_manifest("web", 5)),
        ("shards/f/code", a_manifest("code", 5)),
    ]


def test_a_run_longer_than_all_epochs_is_refused_with_the_figures(tmp_path: Path) -> None:
    spec = a_job(tmp_path, SOURCES).spec
    mixture = mixture_of(spec, [a_manifest("web", 100), a_manifest("code", 10)])
    check_length(mixture, 240, spec)
    with pytest.raises(UserError, match=r"takes 241 samples, .* give 240 in all \(web 100 x 2, code 10 x 4") as caught:
        check_length(mixture, 241, spec)
    assert caught.value.code == "too-few-epochs"


class TestSegmentsFrom:
    BEGUN = (WeightSegment(start=0, weights=(7, 3)),)

    def test_nothing_is_the_weights_as_they_stand(self) -> None:
        assert segments_from((), (7.0, 3.0), 0) == self.BEGUN
        assert segments_from(self.BEGUN, (1.0, 1.0), 0) == (WeightSegment(start=0, weights=(1, 1)),)

    def test_the_same_ratio_is_no_other_mixture(self) -> None:
        assert segments_from(self.BEGUN, (0.7, 0.3), 50) == self.BEGUN

    def test_other_weights_begin_where_the_run_goes_on(self) -> None:
        later = (*self.BEGUN, WeightSegment(start=50, weights=(1, 3)))
        assert segments_from(self.BEGUN, (1.0, 3.0), 50) == later
        assert segments_from(later, (7.0, 3.0), 60) == (*later, WeightSegment(start=60, weights=(7, 3)))

    def test_weights_that_no_sample_was_taken_with_are_forgotten(self) -> None:
        later = (*self.BEGUN, WeightSegment(start=50, weights=(1, 3)))
        assert segments_from(later, (7.0, 3.0), 50) == self.BEGUN
        assert segments_from(later, (2.0, 3.0), 50) == (*self.BEGUN, WeightSegment(start=50, weights=(2, 3)))

    def test_a_checkpoint_of_before_there_were_segments_has_had_these_weights(self) -> None:
        assert segments_from((), (7.0, 3.0), 50) == self.BEGUN

    def test_a_position_of_sixteen_sources_and_four_edits_takes_less_than_a_kibibyte(self) -> None:
        weights = tuple(round(0.03 + n / 100, 2) for n in range(16))
        segments = tuple(WeightSegment(start=10**10 * n, weights=weights) for n in range(5))
        text = json.dumps({"samples": 10**11, "segments": [s.model_dump(mode="json") for s in segments]})
        assert len(text) <= 1024


def test_the_segments_of_a_commit_make_the_mixture(tmp_path: Path) -> None:
    segments = (WeightSegment(start=0, weights=(1, 2)), WeightSegment(start=9, weights=(3, 2)))
    mixture = mixture_of(a_job(tmp_path, SOURCES).spec, [a_manifest("web", 100), a_manifest("code", 10)], segments)
    assert [source.weight for source in mixture.sources] == [1, 2]
    assert mixture.later == (Segment(9, (3, 2)),)


def test_one_source_without_limit_is_enough_for_any_run(tmp_path: Path) -> None:
    spec = a_job(tmp_path, [SOURCES[0], {**SOURCES[1], "maxEpochs": None}]).spec
    check_length(mixture_of(spec, [a_manifest("web", 100), a_manifest("code", 10)]), 10**12, spec)

from pathlib import Path

import pytest
from support import image_runs, token_runs
from support.given_shards import index
from support.tars import captioned

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.inspecting import peek, stats, targets, verify
from pretrain_trainer.inspecting.peek import Place, numbers
from pretrain_trainer.inspecting.targets import SampleSource, Target, TokenSource


def tokens_in(folder: Path) -> TokenSource:
    token_runs.write_source(Storage(str(folder)), "even", seed=1, train=20)
    (source,) = targets.find(str(folder / layout.shards(token_runs.UPSTREAM["Encode"], "even")), "").sources
    assert isinstance(source, TokenSource)
    return source


class TestNumbers:
    def test_are_the_first_ones(self) -> None:
        assert numbers(10, 3, None) == [0, 1, 2]
        assert numbers(2, 3, None) == [0, 1]

    def test_of_a_seed_are_the_same_again(self) -> None:
        assert numbers(1000, 5, 7) == numbers(1000, 5, 7) != numbers(1000, 5, 8)
        assert len(set(numbers(1000, 5, 7))) == 5


class TestTokens:
    def test_are_shown_with_their_place_and_the_boundaries_of_documents(self, tmp_path: Path) -> None:
        source = tokens_in(tmp_path)
        head, *lines = peek.token_lines([Place(source, 3)], None)
        assert head == "=== even, sample 3: 000000.tar, record 0, sequence 3"
        texts = [line.split() for line in lines if "┄" not in line]
        assert sum(map(len, texts)) == token_runs.LENGTH + 1
        assert len(lines) == 2 * len(texts) - 1
        assert all(text[-1] == str(token_runs.END_OF_TEXT) for text in texts[:-1])

    def test_have_no_position_without_a_run(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as refused:
            peek.at_position(Target([tokens_in(tmp_path)]), 5, 1)
        assert str(refused.value) == (
            "--at: positions are those of a run's order, and this is a manifest. Write the address of a run, or leave --at "
            "out. [no-position]"
        )

    def test_are_counted(self, tmp_path: Path) -> None:
        found = stats.stats(Target([tokens_in(tmp_path)]))["even"]
        assert found["train"]["samples"] == found["samplesLookedAt"] == 20
        assert sum(int(p) * n for p, n in found["documentLengths"].items()) <= 20 * (token_runs.LENGTH + 1)
        assert any("20 samples, 660 tokens" in line for line in stats.lines({"even": found}))


class TestSamples:
    @pytest.fixture
    def target(self, tmp_path: Path) -> Target:
        index(captioned(tmp_path))
        return targets.find(str(tmp_path), "")

    def test_are_shown_by_their_texts(self, target: Target, tmp_path: Path) -> None:
        (source,) = target.sources
        assert isinstance(source, SampleSource)
        head, image, text = peek.sample_lines([Place(source, 7)], [source.read(7)])
        assert head == f"=== 000007: file://{tmp_path}/000001.tar, record 2"
        assert (image.startswith("jpg: "), text) == (True, "txt: caption of image 7")
        assert [p.caption for p in peek.pictures([source.read(7)])] == ["caption of image 7"]

    def test_are_given_by_webdatasets_decoders(self, target: Target) -> None:
        (source,) = target.sources
        assert isinstance(source, SampleSource)
        decoded = source.shards.decoded(14)
        assert (decoded["jpg"].size, decoded["txt"], decoded["__key__"]) == ((32, 24), "caption of image 14", "000014")

    def test_are_scanned_in_order(self, target: Target) -> None:
        (source,) = target.sources
        assert isinstance(source, SampleSource)
        found = [sample for shard in range(3) for sample in source.shards.scan(shard)]
        assert [sample.key for sample in found] == [f"{n:06d}" for n in range(15)]
        assert [source.shards.read(n).members for n in range(15)] == [sample.members for sample in found]

    def test_are_counted(self, target: Target) -> None:
        (found,) = stats.stats(target).values()
        assert (found["imageFormats"], found["imageSizes"]) == ({"JPEG": 15}, {"32x24": 15})
        assert found["textCharacters"] == {"16": 15}


class TestTargets:
    def test_the_first_source_needs_no_name(self, tmp_path: Path) -> None:
        target = Target([tokens_in(tmp_path)])
        assert target.chosen("").name == "even"
        with pytest.raises(UserError) as refused:
            target.chosen("odd")
        assert str(refused.value) == "--source: 'odd' is no source here. Write one of even. [no-such-source]"

    def test_a_folder_without_shards_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as refused:
            targets.find(str(tmp_path), "")
        assert str(refused.value) == (
            f"{tmp_path}: there is neither a manifest.json nor a run. Write the address of a manifest.json or of a run; "
            "`pretrain index` makes the manifest of WebDataset tars. [no-shards]"
        )


class TestARunOfImages:
    @pytest.fixture
    def target(self, tmp_path: Path) -> Target:
        records = [*image_runs.digits(30), {"json": b"{}"}]
        job = image_runs.a_job(tmp_path / "run", {"digits": image_runs.written(tmp_path / "digits", records)})
        image_runs.record(job, details={"bySource": image_runs.encode(job, tmp_path)})
        return targets.find(str(tmp_path / "run"), "")

    def test_has_the_samples_that_it_trains_on(self, target: Target) -> None:
        (source,) = target.sources
        assert isinstance(source, SampleSource)
        assert source.trained
        assert 20 <= source.samples < 30
        shown = peek.samples_of(peek.chosen(source, 40, None))
        held_out = {f"{number:05d}" for number in source.trained.held_out.tolist()}
        assert [sample.key for sample in shown] == [key for n in range(30) if (key := f"{n:05d}") not in held_out]

    def test_shows_what_stands_at_a_position_of_its_order(self, target: Target) -> None:
        places = peek.at_position(target, 61, 2)
        samples = peek.samples_of(places)
        epoch = 61 // target.sources[0].samples + 1  # type: ignore[union-attr]
        head, json, image, *_ = peek.sample_lines(places, samples)
        assert head.startswith(f"=== position 61 (step 11), epoch {epoch} of digits, {samples[0].key}: file://")
        assert json.startswith('json: {"label": ')
        assert image.endswith(" bytes")
        assert len(peek.pictures(samples)) == 2

    def test_is_counted_by_what_becomes_of_its_records(self, target: Target) -> None:
        found = stats.stats(target)["digits"]
        assert found["train"]["samples"] + found["validation"]["samples"] == 30
        assert (found["leftOut"], found["records"]) == ({"without an image": 1}, 31)
        assert found["imageFormats"] == {"PNG": found["train"]["samples"]}
        (line,) = [line for line in stats.lines({"digits": found}) if "to train on" in line]
        assert line.endswith(" held out, 1 without an image left out")

    def test_is_verified_tar_by_tar(self, target: Target) -> None:
        found = [verify.verify(task) for task in verify.tasks(target.sources[0])]
        assert sum(each.records for each in found) == 31
        assert [finding for each in found for finding in each.findings] == []

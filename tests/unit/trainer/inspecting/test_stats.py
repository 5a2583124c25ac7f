from pathlib import Path

from support.given_shards import index
from support.tars import image, tar

from pretrain_trainer.inspecting import stats, targets


def test_titles_count_what_the_bars_show(tmp_path: Path) -> None:
    """A record may have several images, and lack its text."""
    files = {"0.jpg": image(), "0.seg.png": image(form="PNG"), "1.jpg": image(1), "1.txt": b"a cat"}
    (tmp_path / "a.tar").write_bytes(tar(files))
    index(tmp_path)
    lines = list(stats.lines(stats.stats(targets.find(str(tmp_path), ""))))
    assert "  pixels of an image's shorter side (3 in 2 records looked at):" in lines
    assert "  characters of a text (1 in 2 records looked at):" in lines

"""Links between the documents, and the jobs that they print."""

import re
from pathlib import Path

import pytest

from pretrain_api import parse

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def whole_jobs() -> list[tuple[str, str]]:
    """Every printed block that is a whole PretrainJob. One that becomes valid by what its page builds is written as yml: the page's
    own test runs it."""
    return [
        (f"{page.relative_to(ROOT)}-{n}", block)
        for page in PAGES
        for n, block in enumerate(YAML_BLOCK.findall(page.read_text()))
        if "kind: PretrainJob" in block
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize(("name", "block"), whole_jobs(), ids=lambda value: value if len(value) < 80 else "")
def test_every_printed_job_is_valid(name: str, block: str, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(block)
    parse.load(str(job), [])


SAMPLES = [path for path in (ROOT / "manifests" / "samples").glob("*.yaml") if "kind: PretrainJob" in path.read_text()]


@pytest.mark.parametrize("example", sorted([*(ROOT / "examples").glob("*.yaml"), *SAMPLES]), ids=lambda path: path.name)
def test_every_example_is_valid(example: Path) -> None:
    parse.load(str(example), [])

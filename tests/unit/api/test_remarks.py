"""Valid jobs with something worth a word."""

import pytest

from pretrain_api.parse import parse
from pretrain_api.remarks import remarks

JOB = """\
apiVersion: pretrain.dev/v1alpha1
kind: PretrainJob
metadata: {name: small}
spec:
  storage: {uri: runs/small}
  data: {sources: [{name: web, documents: a.txt}]}
  tokenizer: {train: {vocabSize: 4096}}
  model: {preset: llama-tiny}
  objective: {causalLM: {}}
  training: {globalBatchSize: 32, steps: 5000}
"""


@pytest.mark.parametrize(
    ("override", "remark"),
    [
        ("spec.training.schedule={decayFraction: 0.1}", "decayFraction has no effect: decay is cosine"),
        ("spec.data.validation={fraction: 0}", "no losses on held-out text"),
        ("spec.evaluation={everySteps: 9000}", "evaluated only at the end"),
        ("spec.data.sources[0]={name: a, documents: b, format: text, fields: {text: body}}", "sources[0].fields has no effect"),
        ("spec.tokenizer.train.vocabSize=100_000", "four bytes"),
    ],
)  # fmt: skip
def test_a_setting_without_effect_is_pointed_out(override: str, remark: str) -> None:
    found = list(remarks(parse(JOB, sets=[override])))
    assert len(found) == 1
    assert remark in found[0]


def test_an_ordinary_job_gets_no_remarks() -> None:
    assert list(remarks(parse(JOB))) == []

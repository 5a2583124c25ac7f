"""Every rule of the table can be broken, and says so in the same words form."""

import re

from support.jobs import a_job

from pretrain_api.left_aside import left_aside
from pretrain_api.rules import RULES


def test_codes_are_kebab_case() -> None:
    for rule in RULES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.code)


def test_a_rule_in_cel_has_a_message_that_says_what_to_write() -> None:
    for rule in RULES:
        assert bool(rule.cel) == bool(rule.message), rule.code
        if rule.message:
            assert re.search(r"\b(Write|Raise|Lower|raise|lower)\b", rule.message), rule.code


def test_fields_for_clusters_are_valid_and_named_where_they_have_no_effect() -> None:
    asked = {
        "workers": {"max": 4, "resources": {"limits": {"memory": "1Gi"}}, "template": {"nodeSelector": {"a": "b"}}},
        "scheduling": {"queueName": "research", "gang": {"native": {}}, "priorityClassName": "high"},
        "ttlSecondsAfterFinished": 60,
    }
    job = a_job().with_spec(**asked).job
    assert [sentence.split()[0].rstrip(":") for sentence in left_aside(job.spec, room=3)] == [
        "spec.workers.max",
        "spec.workers.resources",
        "spec.workers.template",
        "spec.scheduling.queueName",
        "spec.scheduling.gang",
        "spec.scheduling.priorityClassName",
        "spec.ttlSecondsAfterFinished",
    ]
    assert list(left_aside(a_job().spec, room=1)) == []


def test_workers_have_as_much_effect_as_this_machine_has_room() -> None:
    spec = a_job().with_spec(workers={"min": 1, "max": 2, "spares": 1}).spec
    assert list(left_aside(spec, room=2)) == []
    assert list(left_aside(spec, room=1)) == [
        "spec.workers.max: this machine has room for 1 worker.",
        "spec.workers.spares has no effect here: one worker trains, as one program.",
    ]

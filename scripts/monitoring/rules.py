"""Alerts and recording rules. Names are `Pretrain` + subject + symptom; the runbook's place follows from the name.

Critical: act now, somebody's machines stand still or work is lost. Warning: today. Info: context for the other two.

Rules are by job: an operator that takes over tells of the same job from another pod, and what was counted, or lasts, goes on.
"""

from dataclasses import dataclass
from typing import Any, Literal

import yaml

RUNBOOKS = "docs/how-to/runbooks"
"""Where the pages lie; the chart puts another address in its place."""
BY_JOB = "by (namespace, pretrainjob)"
JOB = "{{ $labels.namespace }}/{{ $labels.pretrainjob }}"
_TIMES = '{{ printf "%.0f" $value }}'
"""How often, in whole numbers: of what was scraped `increase` makes fractions."""
TRAINS = 'on (namespace, pretrainjob) pretrain_job_state{state="Training"} == 1'
GOODPUT = "namespace_pretrainjob:pretrain_job_goodput:ratio_1h"
_FAILED = 'pretrain_job_state{state="Failed"}'
_COUNTED = 'pretrain_job_time_seconds{activity!~"Suspended|OtherStages|Queued"}'
_PRODUCTIVE = 'pretrain_job_time_seconds{activity="Productive"}'
_IDLE = 'pretrain_job_state{state!~"Training|Recovering|Succeeded|Failed"}'
_RECOVERING, _FIVE_AGO, _TEN_AGO = (
    f'max {BY_JOB} (pretrain_job_state{{state="Recovering"}}{offset})' for offset in ("", " offset 5m", " offset 10m")
)
_MAY_BE_OLD = f"max {BY_JOB} (3 * pretrain_job_checkpoint_interval_seconds + 300)"

AGE = "namespace_pretrainjob:pretrain_job_age:seconds"
IDLE = "namespace_pretrainjob:pretrain_job_idle:timestamp"
RECORDED = {
    AGE: f"sum {BY_JOB} (max by (namespace, pretrainjob, activity) (pretrain_job_time_seconds))",
    # When nothing trained, nor came back to it within minutes. A job that recovers again and again trains.
    IDLE: f"timestamp(max {BY_JOB} ({_IDLE}) or ({_RECOVERING} and {_FIVE_AGO} and {_TEN_AGO}))",
    # Of jobs that have worked for half of the hour at least. Nobody pays for the time in a queue.
    GOODPUT: f"clamp_min(sum {BY_JOB} (delta({_PRODUCTIVE}[1h])), 0) / (sum {BY_JOB} (delta({_COUNTED}[1h])) > 1800)",
}
"""Recording rules: name and expression."""
# Losses of an earlier job of the same name are those of another model: no look goes back beyond the job's life.
_LEAST_LOSS = " or ".join(
    f"min {BY_JOB} (min_over_time(pretrain_job_loss[{minutes}m])) and {AGE} > {60 * minutes}"
    for minutes in (360, 180, 90, 45)
)


@dataclass(frozen=True)
class Alert:
    """One alert."""

    name: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    """A fixed sentence."""
    description: str
    """With labels and value."""
    expression: str
    lasts: str = "0m"
    """For how long the expression must hold."""

    @property
    def runbook(self) -> str:
        return f"{RUNBOOKS}/{self.name.lower()}.md"

    def rule(self) -> dict[str, Any]:
        """As Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.lasts,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.description, "runbook_url": self.runbook},
        }


ALERTS = (
    Alert(
        "PretrainJobStalled",
        "warning",
        "A PretrainJob waits for something that a person has to mend.",
        f"{JOB} is stalled; the message of its condition Stalled says what to change.",
        f'max {BY_JOB} (pretrain_job_condition{{type="Stalled"}}) == 1',
        "5m",
    ),
    Alert(
        "PretrainJobNoProgress",
        "critical",
        "A PretrainJob says that it trains and makes no step.",
        f"{JOB} has told of no step for {{{{ $value | humanizeDuration }}}}.",
        f"max {BY_JOB} (pretrain_job_progress_age_seconds) > 600 and {TRAINS}",
        "5m",
    ),
    Alert(
        "PretrainJobHanging",
        "warning",
        "Ranks of a PretrainJob hung and were started again.",
        f"{JOB} had {_TIMES} hangs within an hour.",
        f'sum {BY_JOB} (increase(pretrain_train_breaks_total{{reason="hang"}}[1h])) > 0',
    ),
    Alert(
        "PretrainJobStraggling",
        "warning",
        "One rank of a PretrainJob is much slower than the others, which wait for it at every step.",
        f"The slowest rank of {JOB} takes {{{{ $value | humanize }}}} times as long as the median.",
        f"max {BY_JOB} (pretrain_train_slowest_rank_ratio) > 1.2",
        "10m",
    ),
    Alert(
        "PretrainJobLossDiverging",
        "warning",
        "The loss of a PretrainJob is far above what it was.",
        f"The loss of {JOB} is {{{{ $value | humanize }}}} times its least of the last hours.",
        f"avg {BY_JOB} (avg_over_time(pretrain_job_loss[10m])) / ({_LEAST_LOSS}) > 1.5",
        "15m",
    ),
    Alert(
        "PretrainJobLossNotFinite",
        "critical",
        "Steps of a PretrainJob are skipped, as their loss or gradient is not finite.",
        f"{JOB} skipped {_TIMES} steps within ten minutes.",
        f"sum {BY_JOB} (increase(pretrain_train_skipped_steps_total[10m])) > 3",
    ),
    Alert(
        "PretrainJobGoodputLow",
        "warning",
        "Little of the time of a PretrainJob turns into steps that stand.",
        f"Of the last hour of {JOB}, {{{{ $value | humanizePercentage }}}} turned into steps.",
        f"{GOODPUT} < 0.8",
        "30m",
    ),
    Alert(
        "PretrainJobCheckpointOld",
        "warning",
        "The newest checkpoint of a PretrainJob is much older than it should be.",
        f"The newest checkpoint of {JOB} is {{{{ $value | humanizeDuration }}}} old.",
        # For less time than the checkpoint may be old: the rest of its age is a pause.
        f"max {BY_JOB} (pretrain_job_checkpoint_age_seconds) > {_MAY_BE_OLD} and {TRAINS}"
        f" unless time() - max_over_time({IDLE}[3d]) < {_MAY_BE_OLD}",
        "5m",
    ),
    Alert(
        "PretrainJobRecovering",
        "warning",
        "A PretrainJob does not come back from a loss.",
        f"{JOB} has been Recovering for ten minutes.",
        f"{_RECOVERING} == 1",
        "10m",
    ),
    Alert(
        "PretrainJobRecoveryLoop",
        "critical",
        "A PretrainJob recovers again and again.",
        f"{JOB} broke off {_TIMES} times within an hour.",
        f"sum {BY_JOB} (increase(pretrain_job_restarts_total[1h]) + increase(pretrain_job_failures_total[1h])"
        " + increase(pretrain_job_disruptions_total[1h])) > 6",
    ),
    Alert(
        "PretrainJobBudgetNearlyUsed",
        "warning",
        "A PretrainJob may fail for good soon.",
        f"{JOB} has used {{{{ $value | humanizePercentage }}}} of the failures that spec.recovery allows.",
        f"max {BY_JOB} (pretrain_job_failures_in_window) / (max {BY_JOB} (pretrain_job_failures_allowed) > 0) >= 0.7",
    ),
    Alert(
        "PretrainJobFailed",
        "critical",
        "A PretrainJob has failed.",
        f"{JOB} has failed within the last hour; the message of its condition Succeeded says why.",
        f"max {BY_JOB} ({_FAILED}) == 1 unless (max {BY_JOB} (max_over_time({_FAILED}[6h] offset 1h))"
        f' unless max {BY_JOB} (max_over_time(pretrain_job_state{{state!="Failed"}}[1h])))',
    ),
    Alert(
        "PretrainJobDataStarved",
        "warning",
        "A PretrainJob waits for data.",
        f"{JOB} spends {{{{ $value | humanizePercentage }}}} of its steps waiting for batches.",
        f"avg {BY_JOB} (avg_over_time(pretrain_job_data_wait_ratio[15m])) > 0.1",
        "15m",
    ),
    Alert(
        "PretrainJobQuarantineGrowing",
        "warning",
        "Records of the data of a PretrainJob are damaged.",
        f"{JOB} replaced {_TIMES} samples of damaged records within an hour.",
        f"sum {BY_JOB} (increase(pretrain_train_stand_in_samples_total[1h])) > 0",
    ),
    Alert(
        "PretrainJobPending",
        "warning",
        "A PretrainJob has not begun to work for long.",
        f"{JOB} has been Pending, Queued or Starting for an hour.",
        f'max {BY_JOB} (pretrain_job_state{{state=~"Pending|Queued|Starting"}}) == 1',
        "1h",
    ),
    Alert(
        "PretrainJobStorageErrors",
        "warning",
        "Many reads of the data of a PretrainJob fail.",
        f"{JOB} had {_TIMES} failed reads in ten minutes; each was repeated.",
        f"sum {BY_JOB} (increase(pretrain_train_data_faults_total[10m])) > 20",
        "10m",
    ),
    Alert(
        "PretrainOperatorDown",
        "critical",
        "No operator leads: training goes on, and nothing is started, replaced or ended.",
        "No process{{ with $labels.namespace }} in the namespace {{ . }}{{ end }} has told for five minutes that it leads.",
        # By installation. Of one that is gone altogether six hours are remembered; where there is none at all, that is told.
        "max by (namespace) (max_over_time(pretrain_operator_leading[6h]))"
        " unless max by (namespace) (pretrain_operator_leading) == 1 or absent_over_time(pretrain_operator_leading[355m])",
        "5m",
    ),
    Alert(
        "PretrainOperatorWatchStale",
        "warning",
        "A watch of the operator is silent: it may not see what happens to pods.",
        "A watch has brought nothing for {{ $value | humanizeDuration }}; bookmarks come every minute.",
        "pretrain_operator_watch_silence_seconds > 120 and pretrain_operator_leading == 1",
        "1m",
    ),
    Alert(
        "PretrainOperatorDefect",
        "warning",
        "The operator met a defect of its own.",
        f"{_TIMES} reconciles ended in an unexpected error within ten minutes.",
        "increase(pretrain_operator_errors_total[10m]) > 0",
    ),
)


def rules() -> dict[str, Any]:
    """A file of rules, as Prometheus reads it."""
    recorded = [{"record": name, "expr": expression} for name, expression in RECORDED.items()]
    return {
        "groups": [
            {"name": "pretrain-records", "rules": recorded},
            {"name": "pretrain-alerts", "rules": [alert.rule() for alert in ALERTS]},
        ]
    }


def rules_file(note: str) -> str:
    """The same as text."""
    return f"# {note}\n" + yaml.safe_dump(rules(), sort_keys=False, width=1000)

"""All jobs: who trains, who waits, and how much of the time turns into steps."""

from monitoring.panels import (
    ACTIVITY_COLOURS,
    JOB_LEGEND,
    OF_JOB,
    STATE_COLOURS,
    WORKER_COLOURS,
    Board,
    Panel,
    each,
    happened,
    small,
)

_STATE = f"sum by (state) ({each('pretrain_job_state', 'state')})"


def _count(states: str) -> str:
    found = each("pretrain_job_state", "state", where=(f'state=~"{states}"',))
    return f"count({found} == 1) or vector(0)"


BOARD = Board(
    "fleet",
    "Pretrain / Fleet",
    "All PretrainJobs at a glance.",
    (
        ("Now", (
            small(Panel("Training", "Jobs that train.", ((_count("Training"), ""),))),
            small(Panel("At other stages", "Jobs that prepare data, evaluate or export.",
                        ((_count("Collecting|Preparing|Tokenizing|Encoding|Evaluating|Exporting|Reporting"), ""),))),
            small(Panel("Waiting", "Jobs that have not begun, or wait for a queue.",
                        ((_count("Pending|Queued|Starting"), ""),), limits=((10, "orange"),))),
            small(Panel("Recovering", "Jobs that come back from a loss.", ((_count("Recovering"), ""),),
                        limits=((1, "orange"),))),
            small(Panel("Stalled", "Jobs that wait for a person.", ((_count("Stalled"), ""),), limits=((1, "red"),))),
            small(Panel("Failed", "Jobs that have failed and are still there.", ((_count("Failed"), ""),),
                        limits=((1, "red"),))),
        )),
        ("Jobs", (
            Panel("Every job", "One row for each job that has not ended.", (
                (each("pretrain_job_state", "state", where=('state!~"Succeeded|Failed"',)), ""),
                (each("pretrain_job_step"), ""),
                (f"{each('pretrain_job_step')} / {each('pretrain_job_planned_steps')}", ""),
                (each("pretrain_job_loss"), ""),
                (each("pretrain_job_tokens_per_second"), ""),
                (each("pretrain_job_goodput_ratio"), ""),
                (each("pretrain_job_time_left_seconds"), ""),
            ), kind="table", width=24, height=9, columns=(
                ("", ""), ("Step", "short"), ("Done", "percentunit"), ("Loss", "short"), ("Tokens/s", "short"),
                ("Goodput", "percentunit"), ("Time left", "s"),
            )),
            Panel("Jobs by state", "How many jobs are in each state.", ((_STATE, "{{state}}"),), kind="stacked", width=12,
                  colours=STATE_COLOURS),
            Panel("Workers", "Training workers of all jobs that are ready, and that are missing.",
                  ((f"sum by (phase) ({each('pretrain_job_workers', 'phase')})", "{{phase}}"),), kind="stacked", width=12,
                  colours=WORKER_COLOURS),
        )),
        ("What it buys", (
            Panel("Throughput", "Tokens per second of each job.",
                  ((each("pretrain_job_tokens_per_second"), JOB_LEGEND),), "si: tokens/s", width=8),
            Panel("MFU", "Model FLOPs utilisation, where the peak of the hardware is known.",
                  ((each("pretrain_job_mfu_ratio"), JOB_LEGEND),), "percentunit", ((0.3, "green"),), below="orange"),
            Panel("Goodput", "Share of each job's time that turned into steps which stand.",
                  ((each("pretrain_job_goodput_ratio"), JOB_LEGEND),), "percentunit",
                  ((0.8, "orange"), (0.9, "green")), below="red"),
            Panel("Where the time goes", "Seconds of all jobs by activity, since each began.",
                  ((f"sum by (activity) ({each('pretrain_job_time_seconds', 'activity')})", "{{activity}}"),), "s", kind="bars", width=12,
                  colours=ACTIVITY_COLOURS),
            Panel("Failures and disruptions", "What broke jobs off, in each interval: their own fault, or others'.", (
                (f"sum({happened(f'pretrain_job_failures_total{OF_JOB}')})", "failures"),
                (f"sum({happened(f'pretrain_job_disruptions_total{OF_JOB}')})", "disruptions"),
                (f"sum({happened(f'pretrain_job_restarts_total{OF_JOB}')})", "restarts within a start"),
            ), limits=((1, "orange"),), width=12),
        )),
    ),
)  # fmt: skip

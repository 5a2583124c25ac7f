"""What went wrong, when, how it was recovered from, and what it cost."""

from monitoring.panels import JOB_LEGEND, OF_JOB, STATE_COLOURS, Board, Panel, each, happened, small


def _quantile(share: float) -> str:
    buckets = "pretrain_operator_recovery_seconds_bucket[$__range]"
    return f"histogram_quantile({share}, sum by (le, rung) (increase({buckets}))) >= 0"  # not those of which there was none


def _by_job(counter: str) -> str:
    return f"sum by (namespace, pretrainjob) ({happened(counter + OF_JOB)})"


def _share(activity: str) -> str:
    spent = each("pretrain_job_time_seconds", "activity")
    found = each("pretrain_job_time_seconds", "activity", where=(f'activity="{activity}"',))
    return f"(sum({found}) or vector(0)) / sum({spent})"


BOARD = Board(
    "recovery",
    "Pretrain / Recovery",
    "Incidents of the chosen jobs and their cost.",
    (
        ("Incidents", (
            small(Panel("Failures", "Of the chosen jobs since each began.",
                        ((f"sum({each('pretrain_job_failures_total')}) or vector(0)", ""),), limits=((1, "orange"),))),
            small(Panel("Disruptions", "What others did to them since each began.",
                        ((f"sum({each('pretrain_job_disruptions_total')}) or vector(0)", ""),))),
            small(Panel("Restarts", "Times that ranks began again within a start.",
                        ((f"sum({each('pretrain_job_restarts_total')}) or vector(0)", ""),))),
            small(Panel("Budget used", "Failures within recovery.windowSeconds that no progress has made up for, of the recovery.maxFailures that end a job; of "
                        "the job that is nearest to it.",
                        ((f"max({each('pretrain_job_failures_in_window')} / ({each('pretrain_job_failures_allowed')} > 0))", ""),),
                        "percentunit", ((0.5, "orange"), (0.7, "red")))),
            small(Panel("Time lost", "Work that was made again or for nothing, of all their time.",
                        ((_share("Lost"), ""),), "percentunit",
                        ((0.02, "orange"), (0.05, "red")))),
            small(Panel("Time recovering", "From losses until training went on, of all their time.",
                        ((_share("Recovery"), ""),), "percentunit",
                        ((0.02, "orange"), (0.05, "red")))),
            Panel("Timeline", "The state of each job: what went wrong first stands leftmost.",
                  ((each("pretrain_job_state", "state"), f"{JOB_LEGEND} {{{{state}}}}"),), kind="states", width=24, height=9,
                  colours=STATE_COLOURS),
        )),
        ("What broke them off", (
            Panel("Failures, disruptions, restarts", "In each interval, by job.", (
                (_by_job("pretrain_job_failures_total"), f"failures {JOB_LEGEND}"),
                (_by_job("pretrain_job_disruptions_total"), f"disruptions {JOB_LEGEND}"),
                (_by_job("pretrain_job_restarts_total"), f"restarts {JOB_LEGEND}"),
            ), limits=((1, "orange"),)),
            Panel("Breaks by reason", "Why agents began again with their ranks, in each interval.",
                  ((f"sum by (reason) ({happened(f'pretrain_train_breaks_total{OF_JOB}')})", "{{reason}}"),),
                  limits=((1, "orange"),)),
            Panel("Failures by kind", "Of all jobs, in each interval.",
                  ((f"sum by (kind) ({happened('pretrain_operator_failures_total')}) > 0", "{{kind}}"),),
                  limits=((1, "orange"),)),
        )),
        ("What it cost", (
            Panel("Newest recovery", "From the loss to the next step, by rung.",
                  ((each("pretrain_job_last_recovery_seconds", "rung"), f"{JOB_LEGEND} {{{{rung}}}}"),), "s",
                  ((10, "orange"), (60, "red"))),
            Panel("Steps made anew", "By the newest recovery.",
                  ((each("pretrain_job_last_recovery_lost_steps", "rung"), f"{JOB_LEGEND} {{{{rung}}}}"),),
                  limits=((2, "orange"), (50, "red"))),
            Panel("Recovery time by phase", "Since each job began, by rung and phase.",
                  ((f"sum by (rung, phase) ({each('pretrain_job_recovery_time_seconds', 'rung', 'phase')})", "{{rung}} {{phase}}"),), "s",
                  kind="bars"),
            Panel("How long recoveries take", "Of all jobs within the chosen time.",
                  ((_quantile(0.5), "p50 {{rung}}"), (_quantile(0.95), "p95 {{rung}}")), "s",
                  ((10, "orange"), (60, "red")), kind="bars", width=12),
            Panel("Phases of a recovery", "Mean seconds, of all jobs within the chosen time.",
                  (("sum by (rung, phase) (increase(pretrain_operator_recovery_phase_seconds_sum[$__range]))"
                    " / (sum by (rung, phase) (increase(pretrain_operator_recovery_phase_seconds_count[$__range])) > 0)",
                    "{{rung}} {{phase}}"),), "s", kind="bars", width=12),
        )),
    ),
)  # fmt: skip

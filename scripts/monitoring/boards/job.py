"""One job: is it healthy, what does it learn, and what does its time go into."""

from monitoring.panels import ACTIVITY_COLOURS, OF_JOB, Board, Panel, each, happened, small

_PHASES = f"pretrain_train_step_phase_seconds_sum{OF_JOB}[$__rate_interval]"
_STEPS = f"pretrain_train_step_seconds_count{OF_JOB}[$__rate_interval]"


def _quantile(share: float) -> str:
    return (
        f"histogram_quantile({share}, sum by (le) (rate(pretrain_train_step_seconds_bucket{OF_JOB}[$__rate_interval])))"
    )


BOARD = Board(
    "job",
    "Pretrain / Job",
    "One PretrainJob. Generations of its roster, failures and checkpoints are marked.",
    (
        ("Is it healthy", (
            small(Panel("State", "The job's state, in a word.", ((f"{each('pretrain_job_state', 'state')} == 1", "{{state}}"),))),
            small(Panel("Done", "Share of the planned steps.",
                        ((f"{each('pretrain_job_step')} / {each('pretrain_job_planned_steps')}", ""),), "percentunit")),
            small(Panel("Time left", "Until training ends, at the rate of the last minutes, pauses included, and how far that may be off.",
                        ((each("pretrain_job_time_left_seconds"), "left"),
                         (each("pretrain_job_time_left_error_seconds"), "give or take")), "s")),
            small(Panel("Goodput", "Share of its time that turned into steps which stand.",
                        ((each("pretrain_job_goodput_ratio"), ""),), "percentunit",
                        ((0.8, "orange"), (0.9, "green")), below="red")),
            small(Panel("Last step told", "Since training last told of a step.",
                        ((each("pretrain_job_progress_age_seconds"), ""),), "s", ((120, "orange"), (600, "red")))),
            small(Panel("Failures left", "Of the budget, before the job ends.",
                        ((f"{each('pretrain_job_failures_allowed')} - {each('pretrain_job_failures_in_window')}", ""),),
                        limits=((2, "orange"), (4, "green")), below="red")),
        )),
        ("What it learns", (
            Panel("Loss", "Nats per predicted token, of each step that was scraped.",
                  ((each("pretrain_train_loss"), "loss"),), lowest=None),
            Panel("Loss by source", "The same by source of the mixture.",
                  ((each("pretrain_train_source_loss", "source"), "{{source}}"),), lowest=None),
            Panel("Gradient norm", "Before clipping.", ((each("pretrain_train_gradient_norm"), "norm"),)),
            Panel("Learning rate", "Of the newest step.", ((each("pretrain_train_learning_rate"), "rate"),), "sci"),
            Panel("Skipped steps", "Steps whose loss or gradient was not finite, in each interval.",
                  ((f"sum({happened(f'pretrain_train_skipped_steps_total{OF_JOB}')})", "skipped"),),
                  limits=((1, "orange"), (4, "red"))),
            Panel("Steps", "Optimizer steps done, and planned.",
                  ((each("pretrain_job_step"), "done"), (each("pretrain_job_planned_steps"), "planned"))),
        )),
        ("How fast", (
            Panel("Throughput", "Tokens per second of all ranks.",
                  ((each("pretrain_train_tokens_per_second"), "all ranks"),), "si: tokens/s"),
            Panel("MFU", "Model FLOPs utilisation: 6 operations for each parameter and token, and attention, over the peak.",
                  ((each("pretrain_train_mfu_ratio"), "MFU"),), "percentunit", ((0.3, "green"),), below="orange"),
            Panel("Time of a step", "Median and slow end over ranks and steps.",
                  ((_quantile(0.5), "p50"), (_quantile(0.99), "p99")), "s"),
            Panel("Parts of a step", "Mean seconds of a step by phase, over the ranks.",
                  ((f"sum by (phase) (rate({_PHASES})) / scalar(sum(rate({_STEPS})))", "{{phase}}"),), "s", kind="stacked",
                  width=12),
            Panel("Where its time went", "Every second of the job's life, by activity.",
                  ((each("pretrain_job_time_seconds", "activity"), "{{activity}}"),), "s", kind="stacked", width=12,
                  colours=ACTIVITY_COLOURS),
        )),
        ("Its workers", (
            Panel("World", "Ranks that train, and workers that are ready or missing.", (
                (each("pretrain_train_world_size"), "ranks"),
                (each("pretrain_job_workers", "phase"), "workers {{phase}}"),
            )),
            Panel("Generation", "Number of the newest roster.", ((each("pretrain_job_generation"), "generation"),)),
            Panel("Slowest rank", "Its time over the median; 1 where none stands out.",
                  ((each("pretrain_train_slowest_rank_ratio"), "times"),), limits=((1.2, "orange"), (2, "red"))),
            Panel("Memory", "Of each rank: in the machine, and at most on its device.",
                  ((each("pretrain_train_memory_bytes", "rank", "kind"), "rank {{rank}} {{kind}}"),), "bytes"),
            Panel("Checkpoint age", "Of the newest checkpoint, beside the interval that was asked for.", (
                (each("pretrain_job_checkpoint_age_seconds"), "age"),
                (each("pretrain_job_checkpoint_interval_seconds"), "interval"),
            ), "s"),
            Panel("Writing a checkpoint", "Mean seconds of a rank, beside training.", (
                (f"sum(rate(pretrain_train_checkpoint_write_seconds_sum{OF_JOB}[$__range]))"
                 f" / sum(rate(pretrain_train_checkpoint_write_seconds_count{OF_JOB}[$__range]))", "mean"),
            ), "s", ((60, "orange"), (300, "red"))),
            Panel("Checkpoint bytes", "What checkpoints have taken since each worker began.",
                  ((f"sum(pretrain_train_checkpoint_bytes_total{OF_JOB})", "bytes"),), "bytes", width=8, height=6),
            Panel("Samples", "Samples each second, those included of steps that were made again: the throughput of images.",
                  ((f"sum(rate(pretrain_train_samples_total{OF_JOB}[$__rate_interval]))", "samples"),), "si: samples/s", width=8, height=6),
            Panel("Steps made", "Steps each second, those included that were made again.",
                  ((f"sum(rate(pretrain_train_steps_total{OF_JOB}[$__rate_interval]))", "steps"),), "suffix:steps/s", width=8, height=6),
            Panel("Conditions", "Those that are true.", ((each("pretrain_job_condition", "type"), "{{type}}"),),
                  kind="states", width=24, height=6,
                  colours=(("Recovering|Straggling", "orange"), ("Suspended", "blue"), ("Stalled", "red"))),
        )),
    ),
    is_of_one_job=True,
)  # fmt: skip

"""One job: is it healthy, what does it learn, and what does its time go into."""

from monitoring.panels import OF_JOB, Board, Panel, small

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
            small(Panel("State", "The job's state, in a word.", ((f"pretrain_job_state{OF_JOB} == 1", "{{state}}"),))),
            small(Panel("Done", "Share of the planned steps.",
                        ((f"pretrain_job_step{OF_JOB} / pretrain_job_planned_steps{OF_JOB}", ""),), "percentunit")),
            small(Panel("Time left", "Until training ends, at the rate of the last minute, pauses included.",
                        ((f"pretrain_job_time_left_seconds{OF_JOB}", ""),), "s")),
            small(Panel("Goodput", "Share of its time that turned into steps which stand.",
                        ((f"pretrain_job_goodput_ratio{OF_JOB}", ""),), "percentunit",
                        ((0.8, "orange"), (0.9, "green")), below="red")),
            small(Panel("Last step told", "Since training last told of a step.",
                        ((f"pretrain_job_progress_age_seconds{OF_JOB}", ""),), "s", ((120, "orange"), (600, "red")))),
            small(Panel("Failures left", "Of the budget, before the job ends.",
                        ((f"pretrain_job_failures_allowed{OF_JOB} - pretrain_job_failures_in_window{OF_JOB}", ""),),
                        limits=((2, "orange"), (4, "green")), below="red")),
        )),
        ("What it learns", (
            Panel("Loss", "Nats per predicted token, of each step that was scraped.",
                  ((f"pretrain_train_loss{OF_JOB}", "loss"),)),
            Panel("Loss by source", "The same by source of the mixture.",
                  ((f"pretrain_train_source_loss{OF_JOB}", "{{source}}"),)),
            Panel("Gradient norm", "Before clipping.", ((f"pretrain_train_gradient_norm{OF_JOB}", "norm"),)),
            Panel("Learning rate", "Of the newest step.", ((f"pretrain_train_learning_rate{OF_JOB}", "rate"),), "sci"),
            Panel("Skipped steps", "Steps whose loss or gradient was not finite, in each interval.",
                  ((f"increase(pretrain_train_skipped_steps_total{OF_JOB}[$__rate_interval])", "skipped"),),
                  limits=((1, "orange"), (4, "red"))),
            Panel("Steps", "Optimizer steps done, and planned.",
                  ((f"pretrain_job_step{OF_JOB}", "done"), (f"pretrain_job_planned_steps{OF_JOB}", "planned"))),
        )),
        ("How fast", (
            Panel("Throughput", "Tokens per second of all ranks.",
                  ((f"pretrain_train_tokens_per_second{OF_JOB}", "tokens/s"),)),
            Panel("MFU", "Model FLOPs utilisation: 6 operations for each parameter and token, and attention, over the peak.",
                  ((f"pretrain_train_mfu_ratio{OF_JOB}", "MFU"),), "percentunit", ((0.3, "green"),), below="orange"),
            Panel("Time of a step", "Median and slow end over ranks and steps.",
                  ((_quantile(0.5), "p50"), (_quantile(0.99), "p99")), "s"),
            Panel("Parts of a step", "Mean seconds of a step by phase, over the ranks.",
                  ((f"sum by (phase) (rate({_PHASES})) / scalar(sum(rate({_STEPS})))", "{{phase}}"),), "s", kind="stacked",
                  width=12),
            Panel("Where its time went", "Every second of the job's life, by activity.",
                  ((f"pretrain_job_time_seconds{OF_JOB}", "{{activity}}"),), "s", kind="stacked", width=12),
        )),
        ("Its workers", (
            Panel("World", "Ranks that train, and workers that are ready or missing.", (
                (f"pretrain_train_world_size{OF_JOB}", "ranks"),
                (f"pretrain_job_workers{OF_JOB}", "workers {{phase}}"),
            )),
            Panel("Generation", "Number of the newest roster.", ((f"pretrain_job_generation{OF_JOB}", "generation"),)),
            Panel("Slowest rank", "Its time over the median; 1 where none stands out.",
                  ((f"pretrain_train_slowest_rank_ratio{OF_JOB}", "times"),), limits=((1.2, "orange"), (2, "red"))),
            Panel("Memory", "Of each rank: in the machine, and at most on its device.",
                  ((f"pretrain_train_memory_bytes{OF_JOB}", "rank {{rank}} {{kind}}"),), "bytes"),
            Panel("Checkpoint age", "Of the newest checkpoint, beside the interval that was asked for.", (
                (f"pretrain_job_checkpoint_age_seconds{OF_JOB}", "age"),
                (f"pretrain_job_checkpoint_interval_seconds{OF_JOB}", "interval"),
            ), "s"),
            Panel("Writing a checkpoint", "Mean seconds of a rank, beside training.", (
                (f"rate(pretrain_train_checkpoint_write_seconds_sum{OF_JOB}[$__range])"
                 f" / rate(pretrain_train_checkpoint_write_seconds_count{OF_JOB}[$__range])", "mean"),
            ), "s", ((60, "orange"), (300, "red"))),
            Panel("Checkpoint bytes", "What checkpoints have taken since each worker began.",
                  ((f"sum(pretrain_train_checkpoint_bytes_total{OF_JOB})", "bytes"),), "bytes", width=8, height=6),
            Panel("Samples", "Samples each second, those included of steps that were made again: the throughput of images.",
                  ((f"sum(rate(pretrain_train_samples_total{OF_JOB}[$__rate_interval]))", "samples"),), "ops", width=8, height=6),
            Panel("Steps made", "Steps each second, those included that were made again.",
                  ((f"sum(rate(pretrain_train_steps_total{OF_JOB}[$__rate_interval]))", "steps"),), "ops", width=8, height=6),
            Panel("Conditions", "Those that are true.", ((f"pretrain_job_condition{OF_JOB}", "{{type}}"),),
                  kind="states", width=24, height=6),
        )),
    ),
    is_of_one_job=True,
)  # fmt: skip

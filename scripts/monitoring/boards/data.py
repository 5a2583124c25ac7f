"""Where the data comes from, whether training waits for it, and what is wrong with it."""

from monitoring.panels import JOB_LEGEND, OF_JOB, Board, Panel, each, of_job

_BY_JOB = "by (namespace, pretrainjob)"
_DATA = of_job('phase="data"')


def _rate(metric: str) -> str:
    return f"sum {_BY_JOB} (rate({metric}{OF_JOB}[$__rate_interval]))"


def _documents(stage: str, fate: str) -> str:
    return each("pretrain_job_stage_documents", where=(f'stage="{stage}"', f'fate="{fate}"'))


BOARD = Board(
    "data",
    "Pretrain / Data",
    "The way of the data into training. Which rules removed what is in each job's report.",
    (
        ("Stages", (
            Panel("Stages at work", "Jobs at each stage.", ((f"count by (stage) ({each('pretrain_job_info', 'stage')})", "{{stage}}"),),
                  kind="stacked", width=12),
            Panel("Stages by job", "Which stage each job is at.",
                  ((each("pretrain_job_info", "stage"), f"{JOB_LEGEND} {{{{stage}}}}"),), kind="states", width=12),
        )),
        ("What became of the documents", (
            Panel("Documents", "Read and kept by Collect, which leaves out what is empty, damaged or under a licence that is not "
                  "wanted, and by Prepare, which filters and deduplicates.",
                  ((f"sum by (stage, fate) ({each('pretrain_job_stage_documents', 'stage', 'fate')})", "{{stage}} {{fate}}"),),
                  kind="bars"),
            Panel("Text", "The same in bytes of text.",
                  ((f"sum by (stage, fate) ({each('pretrain_job_stage_text_bytes', 'stage', 'fate')})", "{{stage}} {{fate}}"),),
                  "bytes", kind="bars"),
            Panel("Kept", "Documents that are left after Prepare, of those that Collect read, by job.",
                  ((f"{_documents('Prepare', 'kept')} / {_documents('Collect', 'read')}", JOB_LEGEND),), "percentunit",
                  ((0.05, "orange"), (0.2, "green")), kind="bars", below="red"),
        )),
        ("Waiting", (
            Panel("Wait for data", "Share of the newest step that was spent waiting for its batch.",
                  ((each("pretrain_job_data_wait_ratio"), JOB_LEGEND),), "percentunit",
                  ((0.05, "orange"), (0.1, "red"))),
            Panel("Wait in a step", "Mean seconds of a rank and step.",
                  ((f"sum {_BY_JOB} (rate(pretrain_train_step_phase_seconds_sum{_DATA}[$__rate_interval]))"
                    f" / sum {_BY_JOB} (rate(pretrain_train_step_phase_seconds_count{_DATA}[$__rate_interval]))", JOB_LEGEND),),
                  "s"),
            Panel("Tokens", "Tokens that steps took, each second, those included that were made again.",
                  ((_rate("pretrain_train_tokens_total"), JOB_LEGEND),), "si: tokens/s"),
        )),
        ("Reads", (
            Panel("Bytes", "Of shards, from stores; local files are mapped, not read.",
                  ((_rate("pretrain_train_data_read_bytes_total"), JOB_LEGEND),), "Bps"),
            Panel("Requests", "Reads of shards that stores were asked for.",
                  ((_rate("pretrain_train_data_requests_total"), JOB_LEGEND),), "reqps"),
            Panel("Hedges", "Second reads beside late ones, of all reads.",
                  ((f"{_rate('pretrain_train_data_hedges_total')} / ({_rate('pretrain_train_data_requests_total')} > 0)",
                    JOB_LEGEND),), "percentunit", ((0.1, "orange"), (0.2, "red"))),
            Panel("Faults", "Reads that failed or came damaged, each second; they are repeated.",
                  ((_rate("pretrain_train_data_faults_total"), JOB_LEGEND),), "reqps", ((0.03, "orange"), (1, "red")),
                  width=12),
            Panel("Quarantine", "Samples of damaged records that were replaced, since each worker began.",
                  ((f"sum {_BY_JOB} (pretrain_train_stand_in_samples_total{OF_JOB})", JOB_LEGEND),),
                  limits=((1, "orange"), (1000, "red")), width=12),
        )),
    ),
)  # fmt: skip

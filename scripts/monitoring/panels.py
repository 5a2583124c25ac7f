"""A panel and a dashboard as we write them, and how they become Grafana's, through the types of its own SDK."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    BigValueTextMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Kind = Literal["timeseries", "stacked", "stat", "bars", "states", "table"]

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
OF_JOB = '{namespace=~"$namespace",pretrainjob=~"$pretrainjob"}'
"""Selector of the jobs that are chosen."""
JOB_LEGEND = "{{namespace}}/{{pretrainjob}}"

Colours = Sequence[tuple[str, str]]
"""Regular expressions of the names of series, and the colour that these have; the last one that fits holds."""
STATE_COLOURS: Colours = (
    (".", "purple"),  # the other stages
    ("(Pending|Queued|Starting|Suspended)$", "blue"),
    ("(Training|Succeeded)$", "green"),
    ("Recovering$", "orange"),
    ("(Stalled|Failed)$", "red"),
)
"""Of series that are named by a job's state, whatever stands before it."""
ACTIVITY_COLOURS: Colours = (
    ("Productive", "green"),
    ("DataWait", "yellow"),
    ("CheckpointStall|Evaluation|Compilation", "purple"),
    ("Queued", "#8ab8ff"),
    ("Starting", "blue"),
    ("Suspended", "#7c8896"),
    ("OtherStages", "#1f9eb3"),
    ("Recovery", "orange"),
    ("Lost", "red"),
)
"""Of series that are named by what a job's time goes into."""
WORKER_COLOURS: Colours = (("ready", "green"), ("missing", "red"))


def of_job(*matchers: str) -> str:
    """The selector of the chosen jobs, with more matchers."""
    return "{" + ",".join([OF_JOB[1:-1], *matchers]) + "}"


def each(metric: str, *labels: str, where: Sequence[str] = ()) -> str:
    """A gauge of each chosen job, and of each value of more labels: one series, whichever pod tells it. Without that another
    operator, or another worker with the first rank, would begin another series beside the one that ended."""
    return f"max by ({', '.join(('namespace', 'pretrainjob', *labels))}) ({metric}{of_job(*where)})"


def happened(counter: str, within: str = "$__rate_interval") -> str:
    """How often, in whole numbers: of the few scrapes of an interval `increase` makes fractions."""
    return f"round(increase({counter}[{within}]))"


@dataclass(frozen=True)
class Panel:
    """One panel: it answers one question."""

    title: str
    description: str
    queries: Sequence[tuple[str, str]]
    """Expression and legend of each."""
    unit: str = "short"
    """Grafana's name of it; of a table, that of its columns."""
    limits: Sequence[tuple[float, str]] = ()
    """From which value on which colour holds; below the first it is green."""
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    below: str = "green"
    """The colour below the first limit."""
    lowest: float | None = 0
    """Where the axis begins at most; None: where the values do."""
    columns: Sequence[tuple[str, str]] = ()
    """Of a table, for each query: name and unit of its column; without a name only its labels are shown."""
    colours: Colours = ()


@dataclass(frozen=True)
class Board:
    """One dashboard: rows of panels."""

    name: str
    """Of the file; the uid is `pretrain-` and this."""
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    is_of_jobs: bool = True
    """Whether namespace and job are chosen."""
    is_of_one_job: bool = False
    """Whether it is opened for one job, whose generations, failures and checkpoints are marked."""


def rendered(board: Board) -> str:
    """The dashboard as Grafana reads it."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"pretrain-{board.name}")
        .description(board.description)
        .tags(["pretrain"])
        .timezone("browser")
        .time("now-3h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(
            dashboard.DashboardLink("Pretrain")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["pretrain"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in _variables(board):
        built = built.with_variable(variable)
    for note in _annotations() if board.is_of_one_job else ():
        built = built.annotation(note)
    if board.is_of_one_job:
        built = built.with_variable(dashboard.DatasourceVariable("logs").label("Logs").type("loki"))
        built = built.link(_logs_link())
    number = 0
    for title, panels in board.rows:
        number += 1
        built = built.with_row(dashboard.Row(title).id(number))
        for panel in panels:
            number += 1
            built = built.with_panel(_built(panel, number))
    return json.dumps(built.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _variables(board: Board) -> list[dashboard.QueryVariable]:
    if not board.is_of_jobs:
        return []
    several = not board.is_of_one_job
    namespace = _variable("namespace", "Namespace", "label_values(pretrain_job_info, namespace)", several)
    job = 'label_values(pretrain_job_info{namespace=~"$namespace"}, pretrainjob)'
    return [namespace, _variable("pretrainjob", "Job", job, several)]


def _variable(name: str, label: str, query: str, several: bool) -> dashboard.QueryVariable:
    found = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    return found.multi(True).include_all(True).all_value(".*") if several else found


def _annotations() -> list[dashboard.AnnotationQuery]:
    marks = (
        ("Generation", "blue", f"changes(pretrain_job_generation{OF_JOB}[$__rate_interval]) > 0"),
        ("Failure", "red", f"increase(pretrain_job_failures_total{OF_JOB}[$__rate_interval]) > 0"),
        ("Checkpoint", "green", f"resets(pretrain_job_checkpoint_age_seconds{OF_JOB}[$__rate_interval]) > 0"),
    )
    return [
        dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(expression)
        for name, colour, expression in marks
    ]


def _logs_link() -> dashboard.DashboardLink:
    """To the logs of the job's pods, for who keeps them in Loki with the usual labels."""
    selector = '{namespace=\\"$namespace\\",pod=~\\"$pretrainjob-.+\\"}'
    pane = f'{{"datasource":"${{logs}}","queries":[{{"refId":"A","expr":"{selector}"}}]}}'
    url = f'/explore?schemaVersion=1&panes={{"logs":{pane}}}'
    return (
        dashboard.DashboardLink("Logs of its pods")
        .type(models.DashboardLinkType.LINK)
        .url(url)
        .icon("doc")
        .keep_time(True)
        .target_blank(True)
    )


def _built(panel: Panel, number: int) -> Any:
    found = _of_kind(panel)
    steps = [models.Threshold(None, panel.below), *(models.Threshold(value, colour) for value, colour in panel.limits)]
    thresholds = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    found = (
        found.id(number)
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .thresholds(thresholds)
        .grid_pos(models.GridPos(h=panel.height, w=panel.width))
    )
    for pattern, colour in panel.colours:
        fixed = {"mode": models.FieldColorModeId.FIXED.value, "fixedColor": colour}
        found = found.override_by_regexp(f"/{pattern}/", [models.DynamicConfigValue("color", fixed)])
    for place, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().ref_id(chr(ord("A") + place)).expr(expression).legend_format(legend)
        if panel.kind in ("stat", "bars", "table"):
            query = query.instant()
        elif "histogram_quantile" in expression:
            query = query.exemplar(True)
        if panel.kind == "table":
            query = query.format(PromQueryFormat.TABLE)
        found = found.with_target(query)
    return found


def _text_mode(panel: Panel) -> BigValueTextMode:
    """Several figures each with its name; of one whose legend is a label, the label says it all."""
    if len(panel.queries) > 1:
        return BigValueTextMode.VALUE_AND_NAME
    return BigValueTextMode.NAME if panel.queries[0][1] else BigValueTextMode.AUTO


def _of_kind(panel: Panel) -> Any:
    match panel.kind:
        case "stat":
            found = stat.Panel().text_mode(_text_mode(panel))
            return found.graph_mode(BigValueGraphMode.NONE)  # one moment is asked for, not a course
        case "bars":
            return bargauge.Panel()
        case "states":
            # The name of a row says what it is; its value is 1 for as long as it lasts.
            by_thresholds = dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)
            return statetimeline.Panel().show_value(VisibilityMode.NEVER).color_scheme(by_thresholds)
        case "table":
            return _table(panel)
    found = timeseries.Panel().legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    if panel.limits:
        style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        found = found.thresholds_style(style)
    if panel.lowest is not None:
        found = found.axis_soft_min(panel.lowest)
    if panel.kind == "stacked":
        found = found.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    return found


def _table(panel: Panel) -> table.Panel:
    """One row for each job, one column for each query."""
    values = [(f"Value #{chr(ord('A') + place)}", name) for place, (name, _) in enumerate(panel.columns)]
    names = {value: name for value, name in values if name}
    others = ("Time", "__name__", "instance", "job", "endpoint", "container", "pod", "service")
    hidden = dict.fromkeys((*others, *(value for value, name in values if not name)), True)
    found = table.Panel().show_header(True).with_transformation(models.DataTransformerConfig("merge", options={}))
    found = found.with_transformation(
        models.DataTransformerConfig("organize", options={"excludeByName": hidden, "renameByName": names})
    )
    for name, unit in filter(all, panel.columns):
        found = found.override_by_name(name, [models.DynamicConfigValue("unit", unit)])
    return found


def small(panel: Panel) -> Panel:
    """The panel as one of a row of single figures."""
    return replace(panel, kind="stat", width=4, height=4)

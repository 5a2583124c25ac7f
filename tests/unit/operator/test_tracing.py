"""What the operator tells OpenTelemetry, when, and to whom. The receiver decodes what is really sent."""

import threading
from collections.abc import Iterator

import pytest
from support.otlp_receiver import Receiver, receiving
from support.stage_runs import NOON

from pretrain_api.errors import UserError
from pretrain_operator import tracing
from pretrain_operator.brain.recoveries import Recovered
from pretrain_operator.tracing import UNTRACED, Traces

KEY = ("research", "gpt")
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
POD = "/api/v1/namespaces/research/pods/gpt-w0"


class TestSettings:
    @pytest.mark.parametrize(
        "variables",
        [
            {},
            {ENDPOINT: ""},
            {ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
            {ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
        ],
        ids=["nothing", "empty", "disabled", "no-exporter"],
    )
    def test_without_a_place_to_send_them_to_there_are_no_traces(self, variables: dict[str, str]) -> None:
        assert tracing.configured(variables) is UNTRACED

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            ({ENDPOINT: "collector:4318"}, "Write http://HOST:4318"),
            ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "file:///traces"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
            ({ENDPOINT: "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "Write http/protobuf"),
            ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, "Write otlp or none."),
        ],
        ids=["no-scheme", "no-http", "grpc", "another-exporter"],
    )
    def test_what_cannot_be_is_the_user_s_mistake(self, variables: dict[str, str], said: str) -> None:
        with pytest.raises(UserError, match=r"\[bad-traces-setting\]") as refused:
            tracing.configured(variables)
        assert said in str(refused.value)

    def test_what_the_sdk_refuses_is_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(ENDPOINT, "http://collector:4318")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")  # less than a batch
        with pytest.raises(UserError, match="max_queue_size"):
            tracing.configured({ENDPOINT: "http://collector:4318"})


def test_untraced_takes_everything_and_says_nothing() -> None:
    with UNTRACED.reconcile(KEY, "uid") as span, UNTRACED.request("GET", POD) as request:
        span.set_attribute("pretrain.job.state", "Training")
        request.set_attribute("http.response.status_code", 200)
        assert UNTRACED.at_work() == UNTRACED.recovered(KEY, "uid", Recovered("Shrink", NOON, 1.0, (), {})) == ""
    UNTRACED.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def traces(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Traces:
    """Traces of a process with the receiver's address in its environment. Closing them sends what there is."""
    monkeypatch.setenv(ENDPOINT, receiver.url)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=lab")
    return tracing.configured({ENDPOINT: receiver.url})


class TestReconcile:
    def test_has_its_requests_as_children(self, receiver: Receiver, traces: Traces) -> None:
        with traces.reconcile(KEY, "uid-1") as span:
            span.set_attribute("pretrain.decision", ["StartStage Train 1"])
            at_work = traces.at_work()
            with traces.request("GET", POD) as request:
                request.set_attribute("http.response.status_code", 200)
            with traces.request("PATCH", "/apis/pretrain.dev/v1alpha1/namespaces/research/pretrainjobs/gpt/status"):
                pass
            with traces.request("GET", "/api/v1/namespaces/research/events"):
                pass
        traces.close()
        [reconcile] = receiver.named("reconcile")
        assert reconcile.attributes == {
            "k8s.namespace.name": "research",
            "pretrain.job.name": "gpt",
            "pretrain.job.uid": "uid-1",
            "pretrain.decision": ["StartStage Train 1"],
        }
        assert (at_work, traces.at_work()) == (reconcile.trace.hex(), "")
        requests = receiver.children(reconcile)
        assert [request.name for request in requests] == [
            "GET /api/v1/namespaces/{namespace}/pods/{name}",
            "PATCH /apis/pretrain.dev/v1alpha1/namespaces/{namespace}/pretrainjobs/{name}/status",
            "GET /api/v1/namespaces/{namespace}/events",
        ]
        assert requests[0].attributes["url.path"] == POD
        assert requests[0].attributes["http.response.status_code"] == 200

    def test_an_error_that_ends_it_is_told(self, receiver: Receiver, traces: Traces) -> None:
        with pytest.raises(OSError, match="gone"), traces.reconcile(KEY, "uid-1"), traces.request("GET", POD):
            raise OSError("gone")
        traces.close()
        assert [(span.is_error, span.exceptions) for span in receiver.spans] == [(True, ("OSError",))] * 2

    def test_a_request_outside_of_one_is_not_told(self, receiver: Receiver, traces: Traces) -> None:
        with traces.request("PUT", "/apis/coordination.k8s.io/v1/namespaces/system/leases/pretrain-operator"):
            pass
        with traces.reconcile(KEY, "uid-1"):
            pass
        traces.close()
        assert [span.name for span in receiver.spans] == ["reconcile"]

    def test_of_whom_it_is_can_be_completed_in_the_environment(self, receiver: Receiver, traces: Traces) -> None:
        with traces.reconcile(KEY, "uid-1"):
            pass
        traces.close()
        [span] = receiver.spans
        assert span.resource["service.name"] == "pretrain-operator"
        assert span.resource["k8s.cluster.name"] == "lab"


class TestRecovery:
    def test_is_a_trace_of_its_rung_and_its_phases_one_after_the_other(
        self, receiver: Receiver, traces: Traces
    ) -> None:
        phases = (("stop", 0.25), ("start", 1.0))
        with traces.reconcile(KEY, "uid-1"):
            told = traces.recovered(
                KEY, "uid-1", Recovered("Shrink", NOON, 1.25, phases, {"rank": 3, "cause": "Evicted"})
            )
        traces.close()
        [recovery] = receiver.named("recovery")
        assert told == recovery.trace.hex()
        assert recovery.parent == b""
        assert recovery.attributes["pretrain.recovery.cause"] == "Evicted"
        assert recovery.begin == NOON.timestamp() * 1e9
        assert recovery.end - recovery.begin == 1_250_000_000
        [rung] = receiver.children(recovery)
        assert (rung.name, rung.begin, rung.end) == ("Shrink", recovery.begin, recovery.end)
        stop, start = receiver.children(rung)
        assert (stop.name, start.name) == ("stop", "start")
        assert (stop.begin, stop.end, start.end) == (recovery.begin, start.begin, recovery.end)


class TestReceiverInTrouble:
    @pytest.fixture(autouse=True)
    def nothing_is_sent_any_more(self) -> Iterator[None]:
        """What still tries would draw from the random numbers of whatever test comes next."""
        before = set(threading.enumerate())
        yield
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
            assert not thread.is_alive(), thread.name

    def test_more_spans_than_it_takes_are_dropped_and_nobody_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with receiving(answers=False) as receiver:
            monkeypatch.setenv(ENDPOINT, receiver.url)
            monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
            monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")  # seconds, longer than closing waits
            traces = tracing.configured({ENDPOINT: receiver.url})
            for number in range(100):
                with traces.reconcile(KEY, f"uid-{number}"):
                    pass
            traces.close()  # with a request under way that nobody answers
            assert receiver.spans == []
            assert receiver.asked >= 1

"""Spans and series of the asynchronous client, drawn by the real libraries."""

import pytest
from async_client_setup import TOKEN, error_reply, noted_pauses, scripted, with_key
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from scripted_server import LOGIN, Cut, Reply, ScriptedServer, token_body

from neurograph import AsyncNeuroGraphClient, ConfigurationError, ConnectionError
from neurograph.middleware import AsyncHandler
from neurograph.prometheus import ClientCollector
from neurograph.tracing import traced
from neurograph.wire import Request, Response

pytestmark = pytest.mark.anyio

server = pytest.fixture(scripted)
pauses = pytest.fixture(noted_pauses)


class Drawn:
    """A tracer provider, and the spans that were drawn with it."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


class TestSpans:
    async def test_every_attempt_is_a_span_below_the_callers_own(
        self, server: ScriptedServer, pauses: list[float]
    ) -> None:
        drawn = Drawn()
        server.on("GET", TOKEN, error_reply(503), Reply(body=token_body()))
        async with AsyncNeuroGraphClient(server.url, username="developer", password="password-1") as client:
            with drawn.provider.get_tracer("test").start_as_current_span("work") as work:
                await traced(client, drawn.provider).tokens.get(7)
        login, first, second, _ = drawn.spans
        assert login.name == "POST /api/v1/auth/login"
        assert (first.name, first.kind) == ("GET /api/v1/tokens/{token_id}", SpanKind.CLIENT)
        assert all(span.parent is not None for span in (login, first, second))
        assert {span.parent.span_id for span in (login, first, second) if span.parent} == {
            work.get_span_context().span_id
        }
        told = [dict(span.attributes or {}) for span in (first, second)]
        assert [facts["http.response.status_code"] for facts in told] == [503, 200]
        assert [facts.get("http.request.resend_count") for facts in told] == [None, 1]
        assert (told[0]["error.type"], first.status.status_code) == ("503", StatusCode.ERROR)
        assert ("error.type" in told[1], second.status.status_code) == (False, StatusCode.UNSET)
        assert told[0]["url.full"] == f"{server.url}{TOKEN}"
        assert (told[0]["server.address"], told[0]["server.port"]) == ("127.0.0.1", int(server.url.split(":")[2]))
        assert told[0]["neurograph.request_id"] == server.last("GET", TOKEN).headers["x-request-id"]

    async def test_the_context_reaches_the_server(self, server: ScriptedServer) -> None:
        drawn = Drawn()
        async with with_key(server) as client:
            await traced(client, drawn.provider).tokens.get(7)
        [span] = drawn.spans
        assert span.context is not None
        sent = server.last("GET", TOKEN).headers["traceparent"]
        assert sent.split("-")[1:3] == [
            trace.format_trace_id(span.context.trace_id),
            trace.format_span_id(span.context.span_id),
        ]

    async def test_an_attempt_without_an_answer(self, server: ScriptedServer) -> None:
        drawn = Drawn()
        server.on("GET", TOKEN, Cut())
        async with with_key(server, max_retries=0) as client:
            with pytest.raises(ConnectionError):
                await traced(client, drawn.provider).tokens.get(7)
        [span] = drawn.spans
        assert (span.attributes or {})["error.type"] == "ConnectionError"
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]

    async def test_no_secret_and_no_query_is_drawn(self, server: ScriptedServer) -> None:
        drawn = Drawn()
        server.on("GET", "/api/v1/tokens", Reply(body={"tokens": [], "total": 0}))
        async with AsyncNeuroGraphClient(server.url, username="developer", password="password-1") as client:
            await traced(client, drawn.provider).tokens.list(filter={"path": "name", "eq": "private"})
        written = "".join(span.to_json() for span in drawn.spans)
        assert len(drawn.spans) == 2
        assert server.count("POST", LOGIN) == 1
        assert not [secret for secret in ("password-1", "access-1", "private") if secret in written]

    async def test_other_middleware_is_kept_within(self, server: ScriptedServer) -> None:
        drawn = Drawn()
        open_spans: list[bool] = []

        async def inner(request: Request, call_next: AsyncHandler) -> Response:
            open_spans.append(trace.get_current_span().is_recording())
            return await call_next(request)

        async with AsyncNeuroGraphClient(server.url, api_key="k", middleware=[inner]) as client:
            await traced(client, drawn.provider).tokens.get(7)
            await client.tokens.get(7)
        assert open_spans == [True, False]
        assert len(drawn.spans) == 1


class TestSeries:
    async def test_what_a_client_counts_is_shown(self, server: ScriptedServer, pauses: list[float]) -> None:
        registry = CollectorRegistry()
        collector = ClientCollector(registry)
        server.on("GET", TOKEN, error_reply(503), Cut(), Reply(body=token_body()))
        async with with_key(server) as client, with_key(server) as other:
            collector.watch(client, "search")
            collector.watch(other, "ingest")
            await client.tokens.get(7)

            def value(name: str, **labels: str) -> float | None:
                return registry.get_sample_value(f"neurograph_client_{name}", {"client": "search", **labels})

            assert value("responses_total", status="200") == value("responses_total", status="503") == 1
            assert value("failures_total", error="ConnectionError") == 1
            assert (value("retries_total"), value("request_seconds_count")) == (2, 3)
            assert (value("request_seconds_sum") or 0) > 0
            assert (value("received_bytes_total") or 0) > 0
            assert value("circuit", neurograph_client_circuit="closed") == 1
            assert value("circuit", neurograph_client_circuit="open") == 0
            assert registry.get_sample_value("neurograph_client_retries_total", {"client": "ingest"}) == 0
            page = generate_latest(registry).decode()
            assert page.count("# TYPE neurograph_client_retries_total counter") == 1

    async def test_names_are_taken_once_and_given_back(self, server: ScriptedServer) -> None:
        registry = CollectorRegistry()
        collector = ClientCollector(registry)
        async with with_key(server) as client, with_key(server) as other:
            collector.watch(client)
            collector.watch(client.with_options(timeout=1))
            with pytest.raises(ConfigurationError, match="default"):
                collector.watch(other)
            collector.unwatch()
            collector.watch(other)
            with pytest.raises(ValueError, match="Duplicated"):
                ClientCollector(registry)
            collector.close()
            ClientCollector(registry)

"""The OpenAPI document: it says everything, and everything that it says holds. schemathesis asks the server whatever
the document allows, and much that it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import content_type_conformance, response_schema_conformance
from schemathesis.checks import status_code_conformance as documented_status

from manyfaces.server.manual import manual
from manyfaces.server.problems import MEDIA_TYPE
from serving import Running, running
from threads import DEADLINE

EXAMPLES = 25
"""Requests of one kind to one route; with more the same is found later, and the test takes minutes."""

CHECKS = [documented_status, content_type_conformance, response_schema_conformance]
ROUTES = (
    "POST /v1/analyze", "POST /v1/videos", "POST /v1/verify", "GET /v1/people", "POST /v1/people/calibrate",
    "POST /v1/faces/quality", "POST /v1/people/{name}/rename", "GET /v1/people/{name}", "POST /v1/people/{name}",
    "DELETE /v1/people/{name}", "POST /v1/streams/{name}/feed", "GET /v1/streams/{name}/pull",
    "DELETE /v1/streams/{name}", "GET /v1/health", "GET /v1/system", "GET /metrics",
)  # fmt: skip

TAKES_NOTHING = ("GET /v1/people", "GET /v1/health", "GET /v1/system", "GET /metrics")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("openapi")) as one:
        yield one


@pytest.fixture(scope="module")
def document(server: Running) -> dict[str, Any]:
    said: dict[str, Any] = server.ask.get("/openapi.json").json()
    return said


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_is_described_with_examples(document: dict[str, Any]) -> None:
    found = operations(document)
    assert set(found) == set(ROUTES)
    for route, operation in found.items():
        assert operation["description"], route
        good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        for kind, content in good.get("content", {}).items():
            assert kind in ("text/plain", "application/x-ndjson") or "$ref" in content["schema"], route


def test_every_failure_is_a_problem_document(document: dict[str, Any]) -> None:
    for route, operation in operations(document).items():
        failures = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert {"400", "401", "403", "429", "500", "503"} <= set(failures)
        for status, answer in failures.items():
            if (route, status) != ("GET /v1/health", "503"):
                assert list(answer["content"]) == [MEDIA_TYPE], (route, status)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_schema_that_is_spoken_of_is_there(document: dict[str, Any]) -> None:
    spoken_of: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            spoken_of.update([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            value = list(value.values())
        for one in value if isinstance(value, list) else []:
            look(one)

    look(document)
    assert spoken_of
    assert {name.rpartition("/")[2] for name in spoken_of} <= set(document["components"]["schemas"])


def test_the_manual_shows_every_route_without_a_script(server: Running, document: dict[str, Any]) -> None:
    page = server.ask.get("/docs").text
    assert page == manual(document)
    for route in ROUTES:
        assert f"<code>{route}</code>" in page
    assert "<script" not in page
    assert "style=" not in page
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert server.ask.get("/docs/style.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("route", "mode"),
    [(route, GenerationMode.POSITIVE) for route in ROUTES]
    + [(route, GenerationMode.NEGATIVE) for route in ROUTES if route not in TAKES_NOTHING],
)
def test_nothing_that_is_asked_brings_a_fault_or_an_answer_nobody_was_told_of(
    server: Running, document: dict[str, Any], route: str, mode: GenerationMode
) -> None:
    method, _, path = route.partition(" ")
    asked = schemathesis.openapi.from_dict(document)[path][method].as_strategy(generation_mode=mode)
    with requests.Session() as session:

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=asked)
        def ask(case: Case) -> None:
            if "timeout" in (case.query or {}):
                case.query = {**case.query, "timeout": _at_once(case.query["timeout"])}
            if path.endswith("/feed") and mode is GenerationMode.POSITIVE:
                case.query = {"block": "false"}
            answer = case.call(base_url=server.address, session=session, timeout=DEADLINE)
            assert answer.status_code != 500  # 503 is no fault: a stream is full, or a gallery busy
            case.validate_response(answer, checks=CHECKS)

        ask()


def _at_once(timeout: Any) -> Any:
    """A test does not wait for what will not come."""
    return 0 if isinstance(timeout, (int, float)) and timeout <= 60 else timeout

"""Fuzz a running AIBox: no 5xx, no undocumented status, no stack trace.

What it sends is made from the OpenAPI document by Schemathesis, good values and bad. A finding is printed with a curl
command that repeats it.
"""

import random
from collections import Counter
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import errors as hypothesis_errors
from msgspec import Struct
from schemathesis import GenerationMode
from schemathesis.config import GenerationConfig, SchemathesisConfig

LEFT_OUT = {
    ("POST", "/v1/auth/logout"): "it would end the session that the fuzz runs in",
    ("POST", "/v1/auth/password"): "as above",
    ("DELETE", "/v1/auth/sessions/{session_id}"): "as above, if it ever guessed",
    ("PATCH", "/v1/admin/users/{user_id}"): "as above",
}
TRACES = ("Traceback (most recent call last)", 'File "/', "sqlalchemy.exc", "asyncpg.exceptions")


class Findings(Struct):
    """How much was sent, what came back, and what should not have."""

    sent: int
    statuses: Counter[int]
    wrong: list[str]


def fuzz(url: str, document: dict[str, Any], *, bearer: str | None, requests: int, number: int = 1) -> Findings:
    """Send about `requests` requests, the same for each operation, from the random seed `number`."""
    generation = GenerationConfig(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    config = SchemathesisConfig()
    config.projects.default.generation = generation
    schema = schemathesis.openapi.from_dict(document, config=config)
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    chosen = [one for one in operations if (one.method.upper(), one.path) not in LEFT_OUT]
    findings = Findings(sent=0, statuses=Counter(), wrong=[])
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        for operation in chosen:
            _fuzz_one(http, operation, document, findings, examples=max(1, requests // len(chosen)), number=number)
    return findings


def _fuzz_one(
    http: httpx.Client, operation: Any, document: dict[str, Any], findings: Findings, *, examples: int, number: int
) -> None:
    documented = set(document["paths"][operation.path][operation.method.lower()]["responses"])
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        strategy = operation.as_strategy(generation_mode=mode)

        @seed(number)
        @settings(
            max_examples=max(1, examples // 2),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def send(case: Any) -> None:
            _send(http, case, documented, findings)

        try:
            send()
        except (hypothesis_errors.Unsatisfiable, hypothesis_errors.InvalidArgument):
            continue  # nothing can be made wrong of an operation that takes nothing


def _send(http: httpx.Client, case: Any, documented: set[str], findings: Findings) -> None:
    parts = case.as_transport_kwargs(base_url=str(http.base_url))
    method, url = parts.pop("method"), parts.pop("url")
    options = {name: parts[name] for name in ("params", "json", "data", "headers", "cookies") if parts.get(name)}
    if isinstance(options.get("data"), bytes | str):
        options["content"] = options.pop("data")
    made = {name.lower(): value for name, value in (options.pop("headers", None) or {}).items()}
    headers = {**made, **http.headers}  # the credential is ours to choose
    try:
        request = http.build_request(method, url, headers=headers, **options)
    except (httpx.InvalidURL, UnicodeEncodeError, ValueError, TypeError):
        return  # the client itself cannot say such a thing
    try:
        answer = http.send(request)
    except (httpx.LocalProtocolError, UnicodeEncodeError):
        return
    except httpx.HTTPError as error:
        findings.wrong.append(f"{type(error).__name__}: {case.as_curl_command()}")
        return
    findings.sent += 1
    findings.statuses[answer.status_code] += 1
    text = answer.text
    problem = None
    if answer.status_code >= 500:
        problem = "a 5xx"
    elif str(answer.status_code) not in documented:
        problem = "an undocumented status"
    elif any(trace in text for trace in TRACES):
        problem = "a stack trace"
    if problem is not None and len(findings.wrong) < 100:
        findings.wrong.append(f"{problem}, {answer.status_code}: {text[:300]}\n    {case.as_curl_command()}")


def order(document: dict[str, Any], number: int) -> dict[str, Any]:
    """The document with its paths in another order, so that a short run does not always begin at the same ones."""
    paths = list(document["paths"].items())
    random.Random(number).shuffle(paths)
    return {**document, "paths": dict(paths)}

"""What an exported event looks like: a line of NDJSON, of CSV, or of OCSF 1.3 (schema.ocsf.io)."""

import csv
import io
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from aibox.audit import Format, FoundEvent

COLUMNS = ("at", "event_id", "turn_id", "seq", "type", "source", "principal", "body")

Line = Callable[[FoundEvent, UUID], bytes]


def ndjson(event: FoundEvent, tenant: UUID) -> bytes:
    """The event as `GET /v1/admin/audit` shows it."""
    return msgspec.json.encode(event) + b"\n"


def comma_separated(event: FoundEvent, tenant: UUID) -> bytes:
    """RFC 4180; the body is JSON."""
    fields = {**msgspec.to_builtins(event), "body": msgspec.json.encode(event.body).decode()}
    return _row([_harmless(str(fields[name])) for name in COLUMNS])


def ocsf(event: FoundEvent, tenant: UUID) -> bytes:
    """Signing in and out are Authentication (3002), everything else is API Activity (6003) with activity 99, Other."""
    activity, succeeded = SIGN_INS.get(event.type, (None, True))
    actor = {"user": {"uid": event.principal, "type_id": 1}}
    source = {"name": "AIBox", "svc_name": f"aibox.{event.source}"}
    kind: dict[str, Any]
    if activity is not None:
        kind = {
            "category_uid": 3,
            "class_uid": 3002,
            "activity_id": activity,
            "status_id": 1 if succeeded else 2,
            "severity_id": 1 if succeeded else 2,
            "user": actor["user"],
            "service": {"name": "AIBox"},
        }
    else:
        kind = {
            "category_uid": 6,
            "class_uid": 6003,
            "activity_id": 99,
            "activity_name": event.type,
            "severity_id": 1,
            "actor": actor,
            "api": {"operation": event.type, "service": {"name": source["svc_name"]}},
            "src_endpoint": source,
        }
    record = {
        **kind,
        "type_uid": kind["class_uid"] * 100 + kind["activity_id"],
        "time": int(datetime.fromisoformat(event.at).timestamp() * 1000),
        "metadata": {
            "version": "1.3.0",
            "uid": str(event.event_id),
            "correlation_uid": str(event.turn_id),
            "sequence": event.seq,
            "tenant_uid": str(tenant),
            "log_name": "aibox.audit",
            "event_code": event.type,
            "product": {"name": "AIBox", "vendor_name": "AIBox"},
        },
        "unmapped": event.body,
    }
    return msgspec.json.encode(record) + b"\n"


def _row(values: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue().encode()


def _harmless(value: str) -> str:
    """A spreadsheet runs a cell that begins like a formula, and another program chose what an external act says."""
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


SIGN_INS = {"auth.login": (1, True), "auth.login_failed": (1, False), "auth.logout": (2, True)}
"""Activity in OCSF's Authentication (1 Logon, 2 Logoff), and whether it succeeded."""

FORMATS: dict[Format, tuple[bytes, Line]] = {
    "ndjson": (b"", ndjson),
    "csv": (_row(list(COLUMNS)), comma_separated),
    "ocsf": (b"", ocsf),
}
"""What a file begins with, and how it shows an event."""

MEDIA_TYPES: dict[Format, str] = {"ndjson": "application/x-ndjson", "csv": "text/csv", "ocsf": "application/x-ndjson"}

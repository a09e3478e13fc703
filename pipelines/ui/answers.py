"""What the server answers: values as JSON, and faults as findings with a status."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from pipelines.streams import plain
from schemas.errors import CurationError, Finding

STATUS = {"C032": 404, "C063": 403, "R002": 409, "R011": 409, "C048": 409, "C059": 409}
"""Of a finding's code; else 400 for what was asked wrongly, 500 for what failed."""
SAFE = 2**53 - 1
"""Greatest whole number that a browser does not round."""


def answer(value: Any, status: int = 200) -> web.Response:
    """JSON in ASCII: no text of a document can end a line or an element, whoever reads it."""
    return web.Response(
        text=json.dumps(exact(plain(value)), allow_nan=False, separators=(",", ":")),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def refusal(failure: CurationError) -> web.Response:
    """All findings, the first one as the error."""
    findings = failure.findings or (Finding("R016", str(failure)),)
    first = findings[0]
    error = {"code": first.code, "message": first.message, "hint": first.hint, "excerpt": first.excerpt}
    more = [{"code": item.code, "message": item.message, "hint": item.hint} for item in findings[1:]]
    status = STATUS.get(first.code, 500 if first.code.startswith("R") else 400)
    return answer({"error": {**error, "more": more}}, status)


def exact(value: Any) -> Any:
    """With whole numbers that a browser would round as text."""
    match value:
        case bool():
            return value
        case int():
            return value if -SAFE <= value <= SAFE else str(value)
        case dict():
            return {key: exact(item) for key, item in value.items()}
        case list():
            return [exact(item) for item in value]
    return value

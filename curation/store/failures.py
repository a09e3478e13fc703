"""What a store's failures mean: whether to ask again, whether it is the credentials, whether anything is wrong at all.

A store answers by status and code; each library of fsspec wraps them in exceptions of its own. They are told apart by
class name, since none of those libraries need be installed.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from curation.retry import AGAIN

AGAIN_CODES = {
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "XAmzContentSHA256Mismatch",
}
"""Codes of S3 for the same, whatever their status: a request that came damaged, or too slowly."""
BROKEN = (errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT)
FLEETING = {
    "ChecksumError",
    "ClientConnectionError",
    "ClientPayloadError",
    "ConnectionError",
    "DamagedError",
    "FSTimeoutError",
    "FlexibleChecksumError",
    "HTTPClientError",
    "IncompleteRead",
    "IncompleteReadError",
    "ResponseParserError",
}
"""Classes of aiohttp, botocore, gcsfs and http.client that say that a connection was lost, or an answer damaged."""
REFUSALS = {
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "CredentialsNotSupported",
    "ExpiredToken",
    "ExpiredTokenException",
    "Forbidden",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidToken",
    "MissingSecurityHeader",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "Unauthorized",
    "UnrecognizedClientException",
}
"""Codes of S3 and its like that speak of who asks, whatever their status (400 for a token that has expired)."""
KEYLESS = {
    "ClientAuthenticationError",
    "CredentialRetrievalError",
    "DefaultCredentialsError",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "RefreshError",
    "SSOError",
    "TokenRetrievalError",
}
"""Classes of botocore, google.auth and azure.core for credentials that were not found, or could not be had."""
ABSENT = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
"""Answers to what was asked, and no failures."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreError(OSError):
    """A store did not answer what was asked, in as many tries as are made. Says nothing about the file."""

    hint = "see that the store is up, and run again: what is committed stays"


class AccessError(StoreError):
    """A store refused who asked."""

    hint = "see that the credentials (environment, profile or role) are there, valid and allowed to; then run again"


class RedirectError(StoreError):
    """A store sent elsewhere."""

    hint = "write the address that the data really has; credentials and data follow no redirect"


class NoBucketError(FileNotFoundError):
    """There is no such bucket."""

    def __init__(self, bucket: str) -> None:
        super().__init__(errno.ENOENT, "there is no such bucket", bucket)
        self.bucket = bucket


class DamagedError(Exception):
    """An answer has not the bytes that it should have."""


def truly(failure: Exception) -> Exception:
    """The failure itself: some libraries say that a file is not there where they could not ask for it."""
    cause = failure.__cause__
    inner = getattr(failure, "kwargs", {}).get("error")  # of botocore, for what its session raised
    if isinstance(inner, StoreError):
        return inner
    if not isinstance(failure, FileNotFoundError) or not isinstance(cause, Exception) or isinstance(cause, ABSENT):
        return failure
    asked = not isinstance(cause, StoreError) and not may_pass(cause) and status_of(cause) in (None, 404, 410)
    return failure if asked else cause


def status_of(failure: BaseException) -> int | None:
    """The HTTP status behind an exception of botocore, aiohttp, gcsfs or azure, or of what fsspec has made of it."""
    for item in _behind(failure):
        answer = getattr(item, "response", None)
        if isinstance(answer, dict):
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            status = next((getattr(item, name) for name in ("status", "code", "status_code") if hasattr(item, name)), 0)
        if isinstance(status, int) and status:
            return status
    return None


def code_of(failure: BaseException) -> str:
    """The code that S3 gave, or nothing."""
    for item in _behind(failure):
        answer = getattr(item, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
    return ""


def reason_of(failure: BaseException) -> str:
    """A failure in one line."""
    status, code = status_of(failure), code_of(failure)
    name = code if code and not code.isdecimal() else type(failure).__name__
    lines = str(failure).strip().splitlines() or ["no message"]
    return f"{f'HTTP {status}, ' if status else ''}{name}: {lines[0][:200]}"


def _behind(failure: BaseException) -> Iterator[BaseException]:
    yield failure
    if failure.__cause__ is not None:
        yield failure.__cause__
    elif failure.__context__ is not None:  # s3fs raises some of its own without a cause
        yield failure.__context__


def _kinds(failure: BaseException) -> set[str]:
    return {kind.__name__ for item in _behind(failure) for kind in type(item).__mro__}


def is_refusal(failure: BaseException) -> bool:
    """Whether it is about who asks."""
    code = code_of(failure)
    if code in AGAIN_CODES or isinstance(failure, ABSENT):
        return False
    # S3 answers HEAD without a body, so that 400 is all it says of a token that has expired
    return (
        status_of(failure) in (401, 403)
        or code in REFUSALS
        or code == "400"
        or isinstance(failure, PermissionError)
        or bool(_kinds(failure) & KEYLESS)
    )


def may_pass(failure: BaseException) -> bool:
    """Whether the same request may succeed."""
    if any(kind.__name__ in FLEETING for kind in type(failure).__mro__) or code_of(failure) in AGAIN_CODES:
        return True
    status = status_of(failure)
    if status is not None:
        return status in AGAIN
    return isinstance(failure, TimeoutError) or getattr(failure, "errno", None) in BROKEN


def redirected(failure: BaseException) -> str | None:
    """Where to a store sends, in words; None where it does not."""
    status = status_of(failure)
    if status is None or not 300 <= status < 400:
        return None
    answers: list[Any] = [getattr(item, "response", None) for item in _behind(failure)]
    found = [answer["ResponseMetadata"].get("HTTPHeaders", {}) for answer in answers if isinstance(answer, dict)]
    target = next((headers["location"] for headers in found if "location" in headers), "elsewhere")
    host = target.split("?")[0].partition("://")[2].partition("/")[0].rpartition("@")[2]
    return f"to {host} (HTTP {status})" if host else f"elsewhere (HTTP {status})"

"""HTTP sessions that do not follow a redirect to another host: it gets no credentials, and nothing is read from it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from curation.store.failures import RedirectError

try:
    from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]
except ImportError:  # no s3fs: nothing asks for it
    AIOHTTPSession = object

REGION = "x-amz-bucket-region"
"""Of answers that botocore itself understands: the bucket lies in another region of AWS."""


class Unredirected(AIOHTTPSession):  # type: ignore[misc]
    """What aiobotocore asks S3 through. botocore itself finds the region of a bucket, and needs no redirects for it."""

    async def _get_session(self, proxy_url: Any) -> Any:
        return SimpleNamespace(request=partial(_request, await super()._get_session(proxy_url)))


async def _request(session: aiohttp.ClientSession, method: str, url: Any, **options: Any) -> aiohttp.ClientResponse:
    answer = await session.request(method, url, allow_redirects=False, **options)
    if 300 <= answer.status < 400 and answer.status != 304 and REGION not in answer.headers:
        answer.close()
        raise RedirectError(_elsewhere(answer))
    return answer


def _elsewhere(answer: aiohttp.ClientResponse) -> str:
    host = answer.url.join(URL(answer.headers.get("Location", ""))).host
    return f"{answer.url.host} sends to {host} (HTTP {answer.status}), which is not followed"


def same_host() -> aiohttp.TraceConfig:
    """For http:// and https://: a redirect to another host ends the request."""

    async def look(session: Any, context: Any, facts: aiohttp.TraceRequestRedirectParams) -> None:
        if facts.url.join(URL(facts.response.headers.get("Location", ""))).host != facts.url.host:
            raise RedirectError(_elsewhere(facts.response))

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(look)
    return config

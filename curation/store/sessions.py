"""HTTP sessions that do not follow a redirect to another host: it gets no credentials, and nothing is read from it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp

from curation.store.failures import RedirectError

try:
    from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]
except ImportError:  # no s3fs: nothing asks for it
    AIOHTTPSession = object


class Unredirected(AIOHTTPSession):  # type: ignore[misc]
    """What aiobotocore asks S3 through. botocore itself finds the region of a bucket, and needs no redirects for it."""

    async def _get_session(self, proxy_url: Any) -> Any:
        session = await super()._get_session(proxy_url)
        return SimpleNamespace(request=partial(session.request, allow_redirects=False))


def same_host() -> aiohttp.TraceConfig:
    """For http:// and https://: a redirect to another host ends the request."""

    async def look(session: Any, context: Any, facts: aiohttp.TraceRequestRedirectParams) -> None:
        target = facts.url.join(type(facts.url)(facts.response.headers.get("Location", "")))
        if target.host != facts.url.host:
            raise RedirectError(f"reading {facts.url}: the server sends to {target.host}, where nobody follows")

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(look)
    return config

"""The port to a provider: sends one request, says what kind of answer began, gives its body piece by piece."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Protocol, runtime_checkable

from aibox.core.errors import AIBoxError
from aibox.core.http import AddressRefused, Broken, Client, Reply, Unreachable
from aibox.core.keyring import SecretUnreadable
from aibox.router import BackendRefused, BackendUnavailable, ProviderKeyMissing, UpstreamRedirect
from aibox.router.dialects.chat import error_sentence
from aibox.router.local import LocalModel
from aibox.router.snapshot import Route

MOST_ERROR_BYTES = 64 * 1024
LOCAL_START_SECONDS = 15.0


class FailedError(Exception):
    """An attempt that brought no answer.

    `retry`: the same again may succeed. `move_on`: another model may. `down`: nothing that could serve was there.
    """

    def __init__(self, error: AIBoxError, *, retry: bool = False, move_on: bool = True, down: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry = retry
        self.move_on = move_on
        self.down = down


class Answering(Protocol):
    """A successful answer that arrives."""

    @property
    def content_type(self) -> str: ...

    async def read(self) -> bytes:
        """The next piece, empty at the end. Raises `Broken`."""
        ...

    async def whole(self, *, limit: int) -> bytes: ...

    def close(self) -> None:
        """Drop the provider's call at once."""
        ...


@runtime_checkable
class Upstream(Protocol):
    """Sends requests to providers."""

    async def send(self, route: Route, endpoint: str, body: bytes) -> Answering:
        """POST `body` to `/chat/completions` or `/embeddings` of the route's provider; the answer once it began well.

        Raises `FailedError` for everything else. The caller closes what it got.
        """
        ...


class HttpUpstream:
    """Upstream over our outgoing client, for providers by URL and for the local child."""

    def __init__(self, *, http: Client, local: LocalModel, connect_seconds: float) -> None:
        self._http = http
        self._local = local
        self._connect_seconds = connect_seconds

    async def send(self, route: Route, endpoint: str, body: bytes) -> Answering:
        """See `Upstream`."""
        if route.entry.provider.type == "local":
            return await self._send_local(route, endpoint, body)
        url = f"{route.entry.provider.base_url}{endpoint}"
        return await self._post(route, url, body, key=_key(route), ours=None)

    async def _send_local(self, route: Route, endpoint: str, body: bytes) -> Answering:
        if route.model.id != self._local.model:
            sentence = f"The local model {route.model.id} is not served any more; {self._local.model} is."
            raise FailedError(BackendUnavailable(sentence), down=True)
        try:
            await self._local.take()
        except BackendUnavailable as error:
            raise FailedError(error, down=True) from None
        async with _unless_it_fails(self._local.release):
            try:
                child = await self._local.endpoint(timeout=LOCAL_START_SECONDS)
            except BackendUnavailable as error:
                raise FailedError(error, down=True) from None
            url = f"{child.url}/v1{endpoint}"
            reply = await self._post(route, url, body, key=child.key, ours=child.ours)
            return _Held(reply, self._local.release)

    async def _post(
        self, route: Route, url: str, body: bytes, *, key: str | None, ours: tuple[str, int] | None
    ) -> Reply:
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream, application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        name = route.entry.provider.name
        try:
            reply = await self._http.send(
                "POST", url, headers=headers, body=body, connect_seconds=self._connect_seconds, ours=ours
            )
        except Unreachable as error:
            sentence = f"The provider {name} cannot be reached: {error}."
            raise FailedError(BackendUnavailable(sentence), retry=True, down=True) from None
        except AddressRefused as error:
            sentence = f"The provider {name} is not called: {error}"
            raise FailedError(BackendUnavailable(sentence), down=True) from None
        if reply.status == 200 and reply.headers.get("Content-Encoding", "identity").lower() == "identity":
            return reply
        with contextlib.closing(reply):
            raise await _failure(route, reply)


class _Held:
    """An answer of the local model, which holds its turn until it is closed."""

    def __init__(self, reply: Reply, release: Callable[[], None]) -> None:
        self._reply = reply
        self._release = release
        self._is_closed = False

    @property
    def content_type(self) -> str:
        return self._reply.content_type

    async def read(self) -> bytes:
        return await self._reply.read()

    async def whole(self, *, limit: int) -> bytes:
        return await self._reply.whole(limit=limit)

    def close(self) -> None:
        self._reply.close()
        if not self._is_closed:
            self._is_closed = True
            self._release()


@contextlib.asynccontextmanager
async def _unless_it_fails(undo: Callable[[], None]) -> AsyncGenerator[None]:
    try:
        yield
    except BaseException:  # also a cancelled call gives its turn back
        undo()
        raise


def _key(route: Route) -> str | None:
    """The provider's key. One that is stored and does not open is an error of ours, not a call without a key."""
    if route.entry.provider.has_key and route.entry.api_key is None:
        raise FailedError(SecretUnreadable())
    return route.entry.api_key


async def _failure(route: Route, reply: Reply) -> FailedError:
    """What an answer other than 200 means. 401 and 403 are between the provider and us, never the caller's."""
    name = route.entry.provider.name
    if reply.redirect is not None:
        sentence = f"The provider {name} redirects to {reply.redirect}; use that as its base URL."
        return FailedError(UpstreamRedirect(sentence))
    try:
        said = error_sentence(await reply.whole(limit=MOST_ERROR_BYTES))
    except Broken:
        said = ""
    words = f": {said}" if said else "."
    match reply.status:
        case 401 | 403 if not route.entry.provider.has_key:
            return FailedError(ProviderKeyMissing(f"The provider {name} wants an API key and none is stored."))
        case 401 | 403:
            sentence = f"The provider {name} refuses our API key; an administrator must renew it."
            return FailedError(BackendUnavailable(sentence))
        case 402:
            return FailedError(BackendUnavailable(f"The provider {name} wants to be paid{words}"))
        case 429:
            sentence = f"The provider {name} takes no more requests just now{words}"
            return FailedError(BackendUnavailable(sentence), retry=True, down=True)
        case 408 | 425 | 500 | 501 | 502 | 503 | 504 | 529:
            sentence = f"The provider {name} failed with {reply.status}{words}"
            return FailedError(BackendUnavailable(sentence), retry=True, down=True)
        case 404:
            # The path or the model is gone there; another model may still answer.
            return FailedError(BackendRefused(f"The provider {name} does not know {route.model.id}{words}"))
        case status if 400 <= status < 500:
            sentence = f"The provider {name} refused the request{words}"
            return FailedError(BackendRefused(sentence), move_on=False)
        case status:
            sentence = f"The provider {name} answered with {status}, which is no answer{words}"
            return FailedError(BackendUnavailable(sentence))

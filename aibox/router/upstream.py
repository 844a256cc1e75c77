"""The port to a provider: sends one request, says what kind of answer began, gives its body piece by piece."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Protocol, runtime_checkable

from aibox.core.errors import AIBoxError
from aibox.core.http import AddressRefused, Broken, Client, Reply, Unreachable
from aibox.core.keyring import SecretUnreadable
from aibox.router import (
    BackendFailed,
    BackendKeyRefused,
    BackendMalformed,
    BackendOverloaded,
    BackendQueueFull,
    BackendRateLimited,
    BackendRefused,
    BackendUnavailable,
    BackendUnpaid,
    BackendUnreachable,
    ProviderKeyMissing,
    UpstreamRedirect,
)
from aibox.router.adapters.known import ADAPTERS
from aibox.router.dialects.chat import error_sentence
from aibox.router.gates import FullError, Slot
from aibox.router.local import LocalModel
from aibox.router.retry_after import retry_after
from aibox.router.snapshot import Route

MOST_ERROR_BYTES = 64 * 1024
LOCAL_START_SECONDS = 15.0


class FailedError(Exception):
    """An attempt that brought no answer.

    `retry`: the same again may succeed. `move_on`: another model may. `down`: nothing that could serve was there.
    `pause`: for how many seconds the provider wants to be left alone, None when it did not say.
    """

    def __init__(
        self,
        error: AIBoxError,
        *,
        retry: bool = False,
        move_on: bool = True,
        down: bool = False,
        pause: float | None = None,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry = retry
        self.move_on = move_on
        self.down = down
        self.pause = pause


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

    async def send(self, route: Route, endpoint: str, body: bytes, headers: Mapping[str, str] = {}) -> Answering:
        """POST `body` to an endpoint of the route's provider, `/chat/completions` or another; the answer once it began
        well. `headers` go with it, besides those that identify us.

        Raises `FailedError` for everything else. The caller closes what it got.
        """
        ...


class HttpUpstream:
    """Upstream over our outgoing client, for providers by URL and for the local child."""

    def __init__(self, *, http: Client, local: LocalModel, connect_seconds: float) -> None:
        self._http = http
        self._local = local
        self._connect_seconds = connect_seconds

    async def send(self, route: Route, endpoint: str, body: bytes, headers: Mapping[str, str] = {}) -> Answering:
        """See `Upstream`."""
        if route.entry.provider.type == "local":
            return await self._send_local(route, endpoint, body)
        url = f"{route.entry.provider.base_url}{endpoint}"
        return await self._post(route, url, body, headers=headers, key=_key(route), ours=None)

    async def _send_local(self, route: Route, endpoint: str, body: bytes) -> Answering:
        if route.model.id != self._local.model:
            sentence = f"The local model {route.model.id} is not served any more; {self._local.model} is."
            raise FailedError(BackendUnavailable(sentence), down=True)
        try:
            slot = await self._local.take()
        except FullError as full:
            error = BackendQueueFull("The local model is busy: too many calls wait for it. Try again shortly.")
            raise FailedError(error, down=True, pause=full.seconds) from None
        async with _unless_it_fails(slot.leave):
            try:
                child = await self._local.endpoint(timeout=LOCAL_START_SECONDS)
            except BackendUnavailable as error:
                raise FailedError(error, down=True) from None
            url = f"{child.url}/v1{endpoint}"
            reply = await self._post(route, url, body, headers={}, key=child.key, ours=child.ours)
            return Held(reply, slot)

    async def _post(
        self,
        route: Route,
        url: str,
        body: bytes,
        *,
        headers: Mapping[str, str],
        key: str | None,
        ours: tuple[str, int] | None,
    ) -> Reply:
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
            **ADAPTERS[route.entry.provider.adapter].headers(key),
            **headers,
        }
        name = route.entry.provider.name
        try:
            reply = await self._http.send(
                "POST", url, headers=headers, body=body, connect_seconds=self._connect_seconds, ours=ours
            )
        except Unreachable as error:
            sentence = f"The provider {name} cannot be reached: {error}."
            raise FailedError(BackendUnreachable(sentence), retry=True, down=True) from None
        except AddressRefused as error:
            sentence = f"The provider {name} is not called: {error}"
            raise FailedError(BackendUnavailable(sentence), down=True) from None
        if reply.status == 200 and reply.headers.get("Content-Encoding", "identity").lower() == "identity":
            return reply
        with contextlib.closing(reply):
            raise await _failure(route, reply)


class Held:
    """An answer that holds its slot until it is closed."""

    def __init__(self, reply: Answering, slot: Slot) -> None:
        self._reply = reply
        self._slot = slot

    @property
    def content_type(self) -> str:
        return self._reply.content_type

    async def read(self) -> bytes:
        return await self._reply.read()

    async def whole(self, *, limit: int) -> bytes:
        return await self._reply.whole(limit=limit)

    def close(self) -> None:
        self._reply.close()
        self._slot.leave()


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
    pause = retry_after(reply.headers)
    match reply.status:
        case 401 | 403 if not route.entry.provider.has_key:
            return FailedError(ProviderKeyMissing(f"The provider {name} wants an API key and none is stored."))
        case 401 | 403:
            sentence = f"The provider {name} refuses our API key; an administrator must renew it."
            return FailedError(BackendKeyRefused(sentence))
        case 402:
            return FailedError(BackendUnpaid(f"The provider {name} wants to be paid{words}"))
        case 429:
            sentence = f"The provider {name} takes no more requests just now{words}"
            return FailedError(BackendRateLimited(sentence), retry=True, down=True, pause=pause)
        case 503 | 529:
            sentence = f"The provider {name} is overloaded or out of service ({reply.status}){words}"
            return FailedError(BackendOverloaded(sentence), retry=True, down=True, pause=pause)
        case 408 | 425 | 500 | 501 | 502 | 504:
            sentence = f"The provider {name} failed with {reply.status}{words}"
            return FailedError(BackendFailed(sentence), retry=True, down=True, pause=pause)
        case 404:
            # The path or the model is gone there; another model may still answer.
            return FailedError(BackendRefused(f"The provider {name} does not know {route.model.id}{words}"))
        case status if 400 <= status < 500:
            sentence = f"The provider {name} refused the request{words}"
            return FailedError(BackendRefused(sentence), move_on=False)
        case status:
            sentence = f"The provider {name} answered with {status}, which is no answer{words}"
            return FailedError(BackendMalformed(sentence))

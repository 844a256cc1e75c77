"""Prices that nobody set on a model: the operator's file, and the public list that an administrator has fetched."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal

import asyncpg
import msgspec
import structlog
from msgspec import Struct

from aibox.core.connections import LOST, Connections
from aibox.core.errors import AIBoxError, BootRefused, StateUnavailable, ValidationFailed
from aibox.core.eventlog import EventLog
from aibox.core.freshness import kept_fresh
from aibox.core.http import Broken, Client, Unreachable
from aibox.core.tasks import beside
from aibox.core.turn import PLATFORM_TENANT, Turn, system_turn
from aibox.observability import (
    Price,
    PricedModel,
    PriceList,
    PriceListUnset,
    PricesRefreshed,
    PricesUnavailable,
    Settings,
    dollars,
)
from aibox.observability.budgets import actor

log = structlog.get_logger("aibox.observability.prices")

CHANNEL: Final = "aibox_prices"
REFRESH_SECONDS: Final = 300.0
DAY: Final = timedelta(days=1)
LOOK_SECONDS: Final = 3600.0
FETCH_SECONDS: Final = 60.0
MOST_BYTES: Final = 32 * 1024 * 1024
MOST_DOLLARS: Final = Decimal(1_000_000)
"""The most that a million tokens may cost; more is a mistake in the list."""

_KINDS: Final = ("input_usd", "output_usd", "cached_input_usd", "cache_write_usd", "reasoning_usd")


class _Pricing(Struct):
    """US dollars per token, as the list writes them: decimal strings."""

    prompt: str
    completion: str
    input_cache_read: str | None = None
    input_cache_write: str | None = None
    internal_reasoning: str | None = None


class _Listed(Struct):
    id: str
    canonical_slug: str | None = None
    pricing: Any = None


class _Body(Struct):
    data: list[_Listed]


class _Known(Struct, frozen=True):
    """What is known at one moment; swapped whole."""

    file: dict[str, Price] = {}
    listed: dict[str, Price] = {}
    tails: dict[str, Price] = {}
    """By the name without its maker (`gpt-4o` for `openai/gpt-4o`), where all makers' prices agree."""

    fetched_at: datetime | None = None


class PriceService:
    """See `Prices`."""

    def __init__(self, settings: Settings, *, connections: Connections, log: EventLog, http: Client) -> None:
        self._settings = settings
        self._connections = connections
        self._log = log
        self._http = http
        self._known = _Known()
        self._problem = ""

    @contextlib.asynccontextmanager
    async def run(self, tasks: asyncio.TaskGroup) -> AsyncGenerator[None]:
        """Read the file and the stored list; fetch a list that was fetched once anew each day."""
        self._known = msgspec.structs.replace(self._known, file=_read_file(self._settings.local_prices))
        async with (
            kept_fresh(tasks, self._connections, CHANNEL, self.reload, seconds=REFRESH_SECONDS),
            beside(tasks, {"prices.daily": self._daily()}),
        ):
            yield

    def find(self, provider: str, model: str, *, is_ours: bool) -> Price | None:
        """See `Prices.find`. `provider/model` wins over the model's id alone, in the file as in the list."""
        known, full = self._known, f"{provider}/{model}"
        price = known.file.get(full) or known.file.get(model)
        if price is not None or is_ours:
            return price
        return known.listed.get(full) or known.listed.get(model) or known.tails.get(model)

    async def listed(self, turn: Turn) -> PriceList:
        """See `Prices.listed`."""
        known = self._known
        return PriceList(
            source_url=self._settings.prices_url,
            fetched_at=known.fetched_at,
            problem=self._problem,
            prices=[
                *(_shown(model, price, "file", None) for model, price in sorted(known.file.items())),
                *(_shown(model, price, "list", known.fetched_at) for model, price in sorted(known.listed.items())),
            ],
        )

    async def refresh(self, turn: Turn) -> PriceList:
        """See `Prices.refresh`."""
        if not self._settings.prices_url:
            raise PriceListUnset()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                prices = parse(await self._fetch())
        except TimeoutError:
            self._problem = f"The price list did not come within {FETCH_SECONDS:g} s; the last one stays."
            raise PricesUnavailable(self._problem) from None
        except PricesUnavailable as error:
            self._problem = str(error)
            raise
        event = PricesRefreshed(actor=actor(turn), url=self._settings.prices_url, models=len(prices))
        await self._log.log(turn, event)
        await self._store(prices)
        self._problem = ""
        await self.reload()
        return await self.listed(turn)

    async def reload(self) -> None:
        """Read the stored list. Raises `StateUnavailable`; what was known stays then."""
        try:
            row = await self._connections.system.fetchrow(
                "SELECT fetched_at, prices FROM observability.price_list WHERE tenant = $1 AND source = $2",
                PLATFORM_TENANT,
                self._settings.prices_url,
            )
        except LOST:
            raise StateUnavailable() from None
        if row is None or row["fetched_at"] == self._known.fetched_at:
            return
        listed = msgspec.json.decode(row["prices"], type=dict[str, Price])
        self._known = _Known(self._known.file, listed, _tails(listed), row["fetched_at"])

    async def _fetch(self) -> bytes:
        try:
            reply = await self._http.send("GET", self._settings.prices_url, headers={"Accept": "application/json"})
        except Unreachable as error:
            raise PricesUnavailable(f"The price list cannot be reached: {error}. The last one stays.") from None
        except ValidationFailed as error:
            raise PricesUnavailable(f"The price list cannot be fetched: {error}") from None
        with contextlib.closing(reply):
            if reply.status != 200:
                raise PricesUnavailable(f"The price list's server answered {reply.status}; the last list stays.")
            try:
                return await reply.whole(limit=MOST_BYTES)
            except Broken:
                raise PricesUnavailable("The price list was cut short; the last one stays.") from None

    async def _store(self, prices: Mapping[str, Price]) -> None:
        try:
            await self._connections.system.execute(
                "WITH stored AS ("
                "  INSERT INTO observability.price_list (tenant, source, fetched_at, prices) VALUES ($1, $2, $3, $4)"
                "  ON CONFLICT (tenant, source) DO UPDATE SET fetched_at = $3, prices = $4"
                "  RETURNING 1) SELECT pg_notify($5, '') FROM stored",
                PLATFORM_TENANT,
                self._settings.prices_url,
                datetime.now(UTC),
                msgspec.json.encode(prices).decode(),
                CHANNEL,
            )
        except LOST:
            raise StateUnavailable() from None

    async def _daily(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            fetched = self._known.fetched_at
            if fetched is None or datetime.now(UTC) - fetched < DAY:
                continue
            turn = system_turn()
            try:
                await self.refresh(turn)
                await self._log.end(turn, "sealed")
            except (AIBoxError, asyncpg.PostgresError) as error:
                # The last list stays, and `GET /prices` tells its age and the problem.
                log.warning("prices.refresh_failed", error=str(error))


def parse(data: bytes) -> dict[str, Price]:
    """The prices of a list in OpenRouter's form. Models of a changing price (-1) are left out.

    Raises `PricesUnavailable` for what is no such list.
    """
    try:
        body = msgspec.json.decode(data, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PricesUnavailable("What came is no price list; the last one stays.") from None
    prices: dict[str, Price] = {}
    for listed in body.data:
        price = _per_million(listed.pricing)
        if price is not None:
            prices[listed.id] = price
            if listed.canonical_slug:
                prices.setdefault(listed.canonical_slug, price)
    if not prices:
        raise PricesUnavailable("The price list has no prices; the last one stays.")
    return prices


def _per_million(pricing: Any) -> Price | None:
    try:
        per_token = msgspec.convert(pricing, _Pricing)
        given = {
            "input_usd": per_token.prompt,
            "output_usd": per_token.completion,
            "cached_input_usd": per_token.input_cache_read,
            "cache_write_usd": per_token.input_cache_write,
            # A zero here says that reasoning costs what output costs, in the list's own words.
            "reasoning_usd": per_token.internal_reasoning if per_token.internal_reasoning not in ("", "0") else None,
        }
        amounts = {kind: Decimal(text).scaleb(6) for kind, text in given.items() if text is not None}
    except (msgspec.ValidationError, InvalidOperation):
        return None
    return Price(**amounts) if _are_sane(amounts.values()) else None


def _read_file(name: str) -> dict[str, Price]:
    if not name:
        return {}
    try:
        prices = msgspec.json.decode(Path(name).read_bytes(), type=dict[str, Price])
    except OSError as error:
        raise BootRefused("boot_prices", f"OBS_LOCAL_PRICE_JSON cannot be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation) as error:
        raise BootRefused("boot_prices", f"OBS_LOCAL_PRICE_JSON is no file of prices: {error}.") from None
    for model, price in prices.items():
        if not _are_sane(amount for kind in _KINDS if (amount := getattr(price, kind)) is not None):
            raise BootRefused("boot_prices", f"OBS_LOCAL_PRICE_JSON has a price of {model} that cannot be.")
    return prices


def _are_sane(amounts: Iterable[Decimal]) -> bool:
    return all(amount.is_finite() and 0 <= amount <= MOST_DOLLARS for amount in amounts)


def _tails(listed: Mapping[str, Price]) -> dict[str, Price]:
    of_tail: dict[str, set[Price]] = {}
    for model, price in listed.items():
        if "/" in model and ":" not in model:  # `:free` and the like are other offers of the same model
            of_tail.setdefault(model.split("/", 1)[1], set()).add(price)
    return {tail: prices.pop() for tail, prices in of_tail.items() if len(prices) == 1}


def _shown(model: str, price: Price, source: Literal["file", "list"], as_of: datetime | None) -> PricedModel:
    return PricedModel(
        model=model,
        input_usd=dollars(price.input_usd),
        output_usd=dollars(price.output_usd),
        cached_input_usd=_dollars(price.cached_input_usd),
        cache_write_usd=_dollars(price.cache_write_usd),
        reasoning_usd=_dollars(price.reasoning_usd),
        source=source,
        as_of=as_of,
    )


def _dollars(usd: Decimal | None) -> str | None:
    return None if usd is None else dollars(usd)

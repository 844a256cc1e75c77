"""The short form of `make faults`: some hundred schedules of failing providers, always the same ones."""

import asyncio
import tempfile
from pathlib import Path

from aibox.core.connections import Urls
from tests.faults.driver import play
from tests.faults.schedules import BAD, MODELS, TRIES, schedule


async def test_every_request_ends_well_or_with_a_coded_error_and_nothing_is_left_behind(
    urls: Urls, scratch: Path
) -> None:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=scratch))
    report = await play(urls, folder, seed=1, numbers=range(300))
    assert report.problems == [], str(report)
    assert report.ends["answer"] > 50
    assert len(report.ends) > 8, "the schedules hardly fail any more"
    assert float(report.balance.spent_usd) > 0


def test_a_schedule_is_the_same_each_time_and_the_short_form_plays_every_fault() -> None:
    assert schedule(1, 17) == schedule(1, 17)
    assert schedule(1, 17) != schedule(2, 17)
    plays = [play for number in range(300) for plays in schedule(1, number).plays.values() for play in plays]
    assert set(BAD) <= set(plays)
    assert len(plays) == 300 * len(MODELS) * TRIES

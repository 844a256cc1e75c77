"""How many scans are remembered: by their number, and by what they found."""

from aibox.guardrail.scan import Remembered, Scan
from aibox.guardrail.text import Span


def found(many: int) -> Scan:
    """A scan that found so many addresses."""
    return Scan((), tuple(Span(n, n + 1, "EMAIL_ADDRESS") for n in range(many)))


def kept(scans: Remembered, names: bytes) -> bytes:
    return bytes(name for name in names if scans.get(bytes([name])) is not None)


def test_the_oldest_goes_when_there_are_too_many() -> None:
    scans = Remembered(most=2, most_found=100)
    scans.put(b"a", found(1))
    scans.put(b"b", found(1))
    scans.get(b"a")  # which is the newer of the two from here on
    scans.put(b"c", found(1))

    assert kept(scans, b"abc") == b"ac"


def test_the_oldest_go_when_they_found_too_much_together() -> None:
    scans = Remembered(most=100, most_found=10)
    for name, many in ((b"a", 4), (b"b", 4), (b"c", 4), (b"d", 0)):
        scans.put(name, found(many))

    assert kept(scans, b"abcd") == b"bcd"


def test_one_that_found_too_much_is_not_remembered_and_takes_no_other_with_it() -> None:
    scans = Remembered(most=100, most_found=10)
    scans.put(b"a", found(4))
    scans.put(b"b", found(11))

    assert kept(scans, b"ab") == b"a"


def test_the_same_scan_twice_counts_once() -> None:
    scans = Remembered(most=100, most_found=10)
    for _ in range(5):
        scans.put(b"a", found(4))
    scans.put(b"b", found(6))

    assert kept(scans, b"ab") == b"ab"

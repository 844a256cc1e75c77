"""Passages: whole sentences under their headings, none too long, nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from aibox.knowledge.parser import Block, Chunk
from aibox.knowledge.parser.chunks import chunks


def cut(*blocks: Block, words: int = 200, overlap: int = 30) -> list[Chunk]:
    return list(chunks(blocks, words=words, overlap=overlap))


def text(number: int, *, of: str = "w") -> str:
    """So many different words in sentences of ten."""
    return " ".join(
        f"{of}{n}{'.' if n % 10 == 9 else ''}".capitalize() if n % 10 == 0 else f"{of}{n}{'.' if n % 10 == 9 else ''}"
        for n in range(number)
    )


def test_a_passage_ends_with_a_sentence_and_the_next_begins_with_its_last_words() -> None:
    found = cut(Block(text(400)))

    assert [len(chunk.text.split()) for chunk in found] == [200, 200, 60]
    assert found[0].text.endswith("w199.")
    assert found[1].text.startswith("W170 ")


def test_a_passage_names_the_headings_above_it_and_its_page() -> None:
    found = cut(
        Block("Manual", 1, 1),
        Block(text(60), 0, 1),
        Block("Care", 2, 2),
        Block(text(60, of="c"), 0, 2),
        Block("Seals", 3, 3),
        Block(text(60, of="s"), 0, 3),
        Block("Index", 1, 9),
        Block(text(60, of="i"), 0, 9),
    )

    assert [(chunk.section, chunk.page) for chunk in found] == [
        ("Manual", 1),
        ("Manual › Care", 2),
        ("Manual › Care › Seals", 3),
        ("Index", 9),
    ]


def test_small_sections_join_with_their_headings_as_lines() -> None:
    found = cut(Block("One", 1), Block("A short text."), Block("Two", 1), Block("Another."))

    assert [chunk.text for chunk in found] == ["One\n\nA short text.\n\nTwo\n\nAnother."]


def test_a_new_section_repeats_nothing_of_the_one_before() -> None:
    found = cut(Block("One", 1), Block(text(100)), Block("Two", 1), Block(text(100, of="x")))

    assert found[1].text.startswith("Two\n\nX0 ")


def test_the_lines_of_a_table_stay_lines() -> None:
    (found,) = cut(Block("Part | Count\nValve | 12\nSeal | 7"))

    assert found.text == "Part | Count\nValve | 12\nSeal | 7"


def test_a_sentence_that_never_ends_is_cut_by_words() -> None:
    found = cut(Block(" ".join(f"w{n}" for n in range(450))))

    assert max(len(chunk.text.split()) for chunk in found) <= 200
    assert {word for chunk in found for word in chunk.text.split()} == {f"w{n}" for n in range(450)}


blocks = st.lists(
    st.builds(
        Block,
        st.lists(st.sampled_from(["Aa", "bb.", "Cc!", "dd", "ee\n", "Ff?"]), min_size=1, max_size=300).map(" ".join),
        st.sampled_from([0, 0, 0, 1, 2]),
        st.none(),
    ),
    max_size=12,
)


@given(blocks, st.integers(20, 60), st.integers(0, 30))
def test_no_word_is_lost_and_no_passage_is_too_long(given_blocks: list[Block], words: int, overlap: int) -> None:
    found = cut(*given_blocks, words=words, overlap=overlap)

    assert all(0 < len(chunk.text.split()) <= words for chunk in found)
    numbered = [
        Block(" ".join(f"n{b}x{w}" for w, _ in enumerate(block.text.split())), block.level)
        for b, block in enumerate(given_blocks)
    ]
    kept = {word for chunk in cut(*numbered, words=words, overlap=overlap) for word in chunk.text.split()}
    expected = {word for block in numbered for word in block.text.split()[: words if block.level else None]}
    assert kept == expected

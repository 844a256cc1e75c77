"""The words of a text, as both backends of the index weigh them."""

import threading
from uuid import uuid4

from aibox.stores.vectors import words
from aibox.stores.vectors.words import document, query, salted, sparsevec


def test_endings_capitals_and_stop_words_make_no_difference() -> None:
    assert set(document("The Seals were leaking")) == set(query("a seal leaks"))


def test_a_repeated_word_counts_more_and_ever_less_so() -> None:
    (word,) = query("pump")
    once, twice, often = (document("pump " * times + "x " * (20 - times))[word] for times in (1, 2, 10))

    assert once < twice < often < 3 * once


def test_a_long_text_needs_more_of_a_word() -> None:
    (word,) = query("pump")

    assert document("pump " + "valve " * 20)[word] > document("pump " + "valve " * 400)[word]


def test_words_are_salted_by_tenant_and_collection() -> None:
    tenant, other = uuid4(), uuid4()
    asked = list(query("seal pump valve"))

    assert salted(tenant, "a", asked) == salted(tenant, "a", asked)
    assert not set(salted(tenant, "a", asked)) & set(salted(other, "a", asked))
    assert not set(salted(tenant, "a", asked)) & set(salted(tenant, "b", asked))
    assert all(-(2**31) <= term < 2**31 for term in salted(tenant, "a", asked))


def test_a_sparse_vector_is_written_as_pgvector_reads_it() -> None:
    assert sparsevec({3: 1.0, 70: 0.5}) == "{3:1,70:0.5}/1000000000"
    assert sparsevec({}) == "{}/1000000000"


def test_threads_stem_alike() -> None:
    texts = [f"running{n} boxes{n} flies{n} nationally{n}" for n in range(400)]
    alone = [document(text) for text in texts]
    words._index.cache_clear()  # or nobody would stem again
    found: dict[int, list[dict[int, float]]] = {}

    def work(number: int) -> None:
        found[number] = [document(text) for text in (texts if number % 2 else reversed(texts))]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(found[number] == (alone if number % 2 else alone[::-1]) for number in range(4))

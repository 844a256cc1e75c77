"""Which sentences of a message are kept."""

import pytest

from aibox.memory import Kind, Noticed
from aibox.memory.observe import MOST_STATEMENTS, statements


def noticed(kind: Kind, text: str) -> Noticed:
    return Noticed(content=text, kind=kind, memory_type="user")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("My name is Anna.", "fact"),
        ("Hi, I'm a nurse from Leeds.", "fact"),
        ("I am an engineer at Acme Inc. and St. Gallen.", "fact"),
        ("I live in Berlin.", "fact"),
        ("I work for the city.", "fact"),
        ("I'm allergic to peanuts!", "fact"),
        ("I have two small children.", "fact"),
        ("My dog's name is Rex.", "fact"),
        ("Call me Ben.", "fact"),
        ("I prefer short answers.", "preference"),
        ("I don't like cilantro", "preference"),
        ("My favourite colour is green.", "preference"),
        ("I really love jazz.", "preference"),
    ],
)
def test_a_statement_about_oneself_is_kept_as_it_was_written(text: str, kind: Kind) -> None:
    assert statements(text) == [noticed(kind, text)]


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "Do you remember that I live in Berlin?",
        "I'm a bit lost here.",
        "I like this answer.",
        "I would like a table of the results.",
        "Remember to close the file in your example.",
        "She lives in Berlin and prefers tea.",
        "Fix this: ```\nmy name is x\nI live in code\n```",
        "> I live in Rome.",
        "My name is <SECRET>.",
        "",
    ],
)
def test_questions_code_quotations_and_remarks_are_not_kept(text: str) -> None:
    assert statements(text) == []


def test_what_is_asked_to_be_remembered_is_kept_without_the_asking() -> None:
    text = "Please remember that the staging server is called Otter. And remember: I prefer tea."

    assert statements(text) == [
        noticed("fact", "the staging server is called Otter."),
        noticed("preference", "I prefer tea."),
    ]


def test_a_message_gives_each_statement_once_and_not_too_many() -> None:
    many = " ".join(f"I live in town {n}." for n in range(9))

    assert statements("I live in Rome. i live in rome.") == [noticed("fact", "I live in Rome.")]
    assert len(statements(many)) == MOST_STATEMENTS

"""A provider's address as people write it."""

import pytest

from aibox.core.errors import ValidationFailed
from aibox.router.registration import checked_name, normalised


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("  https://api.openai.com/v1/ ", "https://api.openai.com/v1"),
        ("api.openai.com/v1", "https://api.openai.com/v1"),
        ("API.OpenAI.com/V1/chat/completions", "https://api.openai.com/V1"),
        ("localhost:8000/v1/models", "https://localhost:8000/v1"),
        ("http://vllm:8000", "http://vllm:8000"),
        ("http://vllm:8000/v1/models/?limit=5#top", "http://vllm:8000/v1"),
        ("https://openrouter.ai/api/v1/completions", "https://openrouter.ai/api/v1"),
        ("https://x.example/v1/embeddings//", "https://x.example/v1"),
        ("https://x.example/my-models", "https://x.example/my-models"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_base_url_is_brought_to_its_form(written: str, meant: str) -> None:
    assert normalised(written) == meant
    assert normalised(meant) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "   ",
        "ftp://x",
        "file:///etc/passwd",
        "https://",
        "https://a b/",
        "https://user:key@host/v1",
        "http://x:99999",
        "http://a\\b",
    ],
)
def test_what_is_no_address_names_its_field(written: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        normalised(written)
    assert raised.value.fields[0]["field"] == "base_url"


def test_a_name_has_no_slash_for_the_slash_names_models() -> None:
    assert checked_name(" My-vLLM.2 ") == "my-vllm.2"
    for wrong in ("", "a/b", "-a", "a b", "x" * 64, "ä"):
        with pytest.raises(ValidationFailed):
            checked_name(wrong)

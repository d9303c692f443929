import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer

from vectrograph.domain.embedder import Embedder
from vectrograph.domain.errors import StartupError, Unavailable
from vectrograph.domain.points import Vector
from vectrograph.embedding import wordllama
from vectrograph.embedding.wordllama import DIMENSION, WordllamaEmbedder

TEXTS = ["hello world", "Read a compressed archive.", "日本語 ünïcödé 😀", "a", "measure how long code takes " * 40]


@pytest.fixture(scope="module")
def embedder() -> WordllamaEmbedder:
    return WordllamaEmbedder()


def package_directory() -> Path:
    found = importlib.util.find_spec("wordllama")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def pooled_by_hand(texts: Sequence[str]) -> Vector:
    """wordllama's own recipe (l2_supercat, 256, average pooling, norm), from its table and token ids."""
    root = package_directory()
    with safe_open(root / "weights" / "l2_supercat_256.safetensors", framework="numpy") as tensors:
        table = tensors.get_tensor("embedding.weight").astype(np.float64)
    tokenizer = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    means = np.array([table[tokenizer.encode(text, add_special_tokens=False).ids].mean(axis=0) for text in texts])
    rows: Vector = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return rows


def test_vectors_are_wordllamas_average_of_token_rows_normalised(embedder: WordllamaEmbedder) -> None:
    rows = embedder.embed(TEXTS)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    np.testing.assert_allclose(rows, pooled_by_hand(TEXTS), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_meaning_is_kept(embedder: WordllamaEmbedder) -> None:
    question, near, far = embedder.embed(
        ["measure how long code takes", "Time the execution of small bits of Python code.", "Send mail over SMTP."]
    )
    assert question @ near > question @ far + 0.1


def test_text_without_tokens_is_a_zero_row_among_others(embedder: WordllamaEmbedder) -> None:
    rows = embedder.embed(["hello", "", "hello"])
    assert not rows[1].any()
    np.testing.assert_array_equal(rows[0], rows[2])
    assert embedder.embed([]).shape == (0, DIMENSION)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=8))
def test_a_text_has_the_same_vector_alone_and_in_any_batch(texts: list[str]) -> None:
    embedder = SHARED
    rows = embedder.embed(texts)
    assert rows.shape == (len(texts), DIMENSION)
    for text, row in zip(texts, rows, strict=True):
        np.testing.assert_array_equal(embedder.embed([text])[0], row)
        assert np.linalg.norm(row) == pytest.approx(1 if text else 0, abs=1e-6)


SHARED = WordllamaEmbedder()


def test_batches_are_cut_by_number_and_size_without_mixing_rows(
    embedder: WordllamaEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"text number {i}" for i in range(40)]
    whole = embedder.embed(texts)
    monkeypatch.setattr(wordllama, "_BATCH_TEXTS", 7)
    monkeypatch.setattr(wordllama, "_BATCH_CHARACTERS", 50)
    monkeypatch.setattr(wordllama, "_ROWS", 2)
    np.testing.assert_allclose(embedder.embed(texts), whole, atol=1e-6)


def test_long_text_is_pooled_whole(embedder: WordllamaEmbedder) -> None:
    text = "the quick brown fox " * 3000
    np.testing.assert_allclose(embedder.embed([text]), pooled_by_hand([text]), atol=5e-6)


def test_it_is_an_embedder_that_names_its_model(embedder: WordllamaEmbedder) -> None:
    assert isinstance(embedder, Embedder)
    assert (embedder.name, embedder.dimension) == ("wordllama/l2_supercat_256", 256)


def test_the_package_wordllama_is_never_imported_and_nothing_is_loaded_early() -> None:
    code = (
        "import sys, logging\n"
        "from vectrograph.embedding.wordllama import WordllamaEmbedder\n"
        "e = WordllamaEmbedder()\n"
        "assert e.dimension == 256 and 'tokenizers' not in sys.modules, 'loaded before use'\n"
        "e.load(); e.embed(['hello'])\n"
        "assert 'wordllama' not in sys.modules and not logging.getLogger().handlers\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_threads_that_come_first_together_load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[float] = []
    read = wordllama._read_model

    def counted(table: Path, tokenizer: Path) -> object:
        loads.append(time.monotonic())
        return read(table, tokenizer)

    monkeypatch.setattr(wordllama, "_read_model", counted)
    embedder = WordllamaEmbedder()
    gate = threading.Barrier(4)
    rows: list[Vector] = []

    def work() -> None:
        gate.wait(20)
        rows.append(embedder.embed(["hello world"]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    for row in rows:
        np.testing.assert_array_equal(row, rows[0])


def test_missing_package_and_missing_files_are_refused_at_construction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordllama, "_package_directory", lambda: tmp_path)
    with pytest.raises(StartupError, match="lacks"):
        WordllamaEmbedder()
    monkeypatch.undo()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StartupError, match="not installed"):
        WordllamaEmbedder()


@pytest.mark.parametrize(
    "damaged", ["weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"]
)
def test_damaged_files_are_unavailable_not_a_crash(
    damaged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).symlink_to(package_directory() / name)
    (tmp_path / damaged).unlink()
    (tmp_path / damaged).write_bytes(b"not what it was")
    monkeypatch.setattr(wordllama, "_package_directory", lambda: tmp_path)
    with pytest.raises(Unavailable, match="install wordllama again"):
        WordllamaEmbedder().load()

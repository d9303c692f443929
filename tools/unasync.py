"""Rewrite asynchronous sources into their synchronous twins, token by token.

The asynchronous source is written by hand, the twin is checked in and never edited. `async` and `await` vanish, names
change as the tables below say, and everything else (layout, comments, docstrings) survives; ruff then formats the
result. Text is mapped too: a docstring that speaks of `AsyncTokens`, or shows an `await` in its example, is right in
the twin.

What the two worlds do differently (locks, sleeping, gathering) belongs into a small module that both import from.
A rule that nothing uses is an error, so that the tables stay true.
"""

import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
BANNER = "# Generated from {source} by tools/unasync.py; do not edit."
_BANNER_LINE = re.compile(r"# Generated from (\S+) by tools/unasync\.py; do not edit\.\n")


@dataclass(frozen=True, slots=True)
class Pair:
    """One asynchronous source and the twin made of it; paths relative to the repository."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Replacements of names, words and lines.

    Attributes:
        names: identifiers that change as a whole.
        patterns: identifiers that change by shape: regular expressions matched against the whole identifier.
        words: words and phrases of prose, in strings and comments only; the longest match wins.
        dropped: lines, without surrounding blanks, that have no place in a synchronous file.
    """

    names: dict[str, str] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    def all(self) -> set[str]:
        """Return every rule by its left side."""
        return {*self.names, *self.patterns, *self.words, *self.dropped}


RULES = Rules(
    names={
        "__aenter__": "__enter__",
        "__aexit__": "__exit__",
        "__aiter__": "__iter__",
        "__anext__": "__next__",
        "StopAsyncIteration": "StopIteration",
        "aclosing": "closing",
        "anext": "next",
    },
    patterns={
        r"Async([A-Z]\w*)": r"\1",
        r"(_?)async_(\w+)": r"\1\2",
        r"(\w+)_async": r"\1",
    },
    words={
        "asynchronous": "synchronous",
        "an asynchronous iterator": "an iterator",
        "It opens when it is awaited, entered or first iterated over": "It is open from the beginning",
        "Several tasks may read it": "Several threads may read it",
        "A task that gives up waiting, as with a timeout": "Ctrl-C in the middle of waiting",
        "A stream that is open once it is awaited, entered or iterated over": "The open stream",
        "a function or coroutine function of an event": "a function of an event",
        "One task reads it": "One thread reads it",
        "Another task may close it": "Another thread or a signal handler may close it",
        "A task that gives up waiting": "A thread that is interrupted by Ctrl-C while it waits",
    },
    dropped=("pytestmark = pytest.mark.anyio",),
)

_NEUROGRAPH = "packages/neurograph-python/src/neurograph"
_NEUROGRAPH_TESTS = "packages/neurograph-python/tests"
_SERVED_TESTS = "tests/clients/neurograph"
_VECTRON = "packages/vectron-client/src/vectron_client"
PAIRS: tuple[Pair, ...] = (
    Pair(f"{_NEUROGRAPH}/async_client.py", f"{_NEUROGRAPH}/client.py"),
    Pair(f"{_NEUROGRAPH}/_execution/async_executor.py", f"{_NEUROGRAPH}/_execution/executor.py"),
    Pair(f"{_NEUROGRAPH}/_execution/async_listener.py", f"{_NEUROGRAPH}/_execution/listener.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_event_stream.py", f"{_NEUROGRAPH}/_resources/event_stream.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_events.py", f"{_NEUROGRAPH}/_resources/events.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_auth.py", f"{_NEUROGRAPH}/_resources/auth.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_cdna.py", f"{_NEUROGRAPH}/_resources/cdna.py"),
    Pair(f"{_NEUROGRAPH}/_bulk/async_load.py", f"{_NEUROGRAPH}/_bulk/load.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_grid.py", f"{_NEUROGRAPH}/_resources/grid.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_api_keys.py", f"{_NEUROGRAPH}/_resources/api_keys.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_embeddings.py", f"{_NEUROGRAPH}/_resources/embeddings.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_health.py", f"{_NEUROGRAPH}/_resources/health.py"),
    Pair(f"{_NEUROGRAPH}/_resources/async_tokens.py", f"{_NEUROGRAPH}/_resources/tokens.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/async_client_setup.py", f"{_NEUROGRAPH_TESTS}/client_setup.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_failures.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_failures.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_events.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_events.py"),
    Pair(
        f"{_NEUROGRAPH_TESTS}/test_async_neurograph_websocket.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_websocket.py"
    ),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_login.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_login.py"),
    Pair(f"{_SERVED_TESTS}/test_async_neurograph_once.py", f"{_SERVED_TESTS}/test_neurograph_once.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_bulk.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_bulk.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_causes.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_causes.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_hooks.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_hooks.py"),
    Pair(
        f"{_NEUROGRAPH_TESTS}/test_async_neurograph_telemetry.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_telemetry.py"
    ),
    Pair(f"{_SERVED_TESTS}/test_async_neurograph_live.py", f"{_SERVED_TESTS}/test_neurograph_live.py"),
    Pair(f"{_SERVED_TESTS}/test_async_neurograph_grid.py", f"{_SERVED_TESTS}/test_neurograph_grid.py"),
    Pair(f"{_SERVED_TESTS}/test_async_neurograph_surface.py", f"{_SERVED_TESTS}/test_neurograph_surface.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_client.py", f"{_NEUROGRAPH_TESTS}/test_client.py"),
    Pair(f"{_VECTRON}/_async_auth_client.py", f"{_VECTRON}/_auth_client.py"),
    Pair(f"{_VECTRON}/_async_base_client.py", f"{_VECTRON}/_base_client.py"),
    Pair(f"{_SERVED_TESTS}/test_async_neurograph_journal.py", f"{_SERVED_TESTS}/test_neurograph_journal.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_timeouts.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_timeouts.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_http2.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_http2.py"),
    Pair(f"{_NEUROGRAPH_TESTS}/test_async_neurograph_promises.py", f"{_NEUROGRAPH_TESTS}/test_neurograph_promises.py"),
    Pair(f"{_SERVED_TESTS}/test_async_neurograph_vectors.py", f"{_SERVED_TESTS}/test_neurograph_vectors.py"),
    Pair(f"{_VECTRON}/_async_client.py", f"{_VECTRON}/_client.py"),
    Pair(f"{_VECTRON}/_async_watch.py", f"{_VECTRON}/_watch.py"),
    Pair(f"{_VECTRON}/_async_pool.py", f"{_VECTRON}/_pool.py"),
)

# Names sort differently without their prefix, and a loop that only yields or collects needs no loop when it does not
# await.
_TIDY = ("check", "--quiet", "--fix", "--unsafe-fixes", "--select", "I,UP028,C416")

Edit = tuple[int, int, str]


class UnusedRuleError(Exception):
    """A rule of the tables changed nothing anywhere; remove it."""


class Rewriter:
    """Applies rules to sources and counts which of them were used."""

    def __init__(self, rules: Rules = RULES) -> None:
        self._rules = rules
        self.used: Counter[str] = Counter()

    def rewrite(self, source: str) -> str:
        """Return the synchronous form of an asynchronous source, not yet formatted.

        >>> Rewriter().rewrite("async with AsyncThing() as thing:  # AsyncThing\\n    await thing.run_async()\\n")
        'with Thing() as thing:  # Thing\\n    thing.run()\\n'
        """
        source = self._drop_lines(source)
        pieces: list[str] = []
        position = 0
        for start, end, replacement in self._edits(source):
            pieces += (source[position:start], replacement)
            position = end
        return "".join(pieces) + source[position:]

    def _drop_lines(self, source: str) -> str:
        kept = []
        for line in io.StringIO(source):
            if line.strip() in self._rules.dropped:
                self.used[line.strip()] += 1
            else:
                kept.append(line)
        return "".join(kept)

    def _edits(self, source: str) -> Iterator[Edit]:
        tokens = list(_spans(source))
        for index, (kind, start, end) in enumerate(tokens):
            text = source[start:end]
            if kind == tokenize.NAME and text in ("async", "await"):
                yield start, tokens[index + 1][1], ""
            elif kind == tokenize.NAME:
                yield start, end, self._identifier(text)
            elif kind in (tokenize.STRING, tokenize.COMMENT):
                yield start, end, self._text(text)

    def _identifier(self, name: str) -> str:
        if name in self._rules.names:
            self.used[name] += 1
            return self._rules.names[name]
        for pattern, replacement in self._rules.patterns.items():
            match = re.fullmatch(pattern, name)
            if match:
                self.used[pattern] += 1
                return match.expand(replacement)
        return name

    def _text(self, text: str) -> str:
        # In prose `await` is an English word; in front of a call or an attribute it is code.
        text = re.sub(r"\bawait (?=[\w.]+[(\[])", "", text)
        text = re.sub(r"\basync (?=(?:with|for|def)\b)", "", text)
        phrases = sorted(map(re.escape, self._rules.words), key=len, reverse=True)
        return re.sub("|".join([rf"\b(?:{phrase})\b" for phrase in phrases] + [r"\b[^\W\d]\w*\b"]), self._word, text)

    def _word(self, match: re.Match[str]) -> str:
        word = match.group()
        if word in self._rules.words:
            self.used[word] += 1
            return self._rules.words[word]
        return self._identifier(word)


def _spans(source: str) -> Iterator[tuple[int, int, int]]:
    """Kind, start and end of every token as offsets into the source; a formatted string counts as one string.

    Python 3.12 began to cut formatted strings into tokens. Joining them again keeps the output the same on every
    version.
    """
    # Lines as tokenize counts them: str.splitlines would also cut at form feeds and their like.
    starts = [0, *itertools.accumulate(len(line) for line in io.StringIO(source))]
    opening = {getattr(tokenize, name, -1) for name in ("FSTRING_START", "TSTRING_START")}
    closing = {getattr(tokenize, name, -1) for name in ("FSTRING_END", "TSTRING_END")}
    depth, begin = 0, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        start = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1] if token.end[0] <= len(starts) else len(source)
        if token.type in opening:
            begin = start if depth == 0 else begin
            depth += 1
        elif token.type in closing:
            depth -= 1
            if depth == 0:
                yield tokenize.STRING, begin, end
        elif depth == 0:
            yield token.type, start, end


def twin(pair: Pair, root: Path, rewriter: Rewriter) -> str:
    """Return the finished text of one twin: banner, rewritten source, imports sorted, formatted."""
    source = (root / pair.source).read_text(encoding="utf-8")
    beside = PurePosixPath(os.path.relpath(pair.source, PurePosixPath(pair.target).parent))
    text = BANNER.format(source=beside) + "\n" + rewriter.rewrite(source)
    for command in (_TIDY, ("format", "--quiet")):
        text = ruff(text, command, pair.target, root)
    return text


def ruff(text: str, command: Sequence[str], target: str, root: Path) -> str:
    """Return a source as ruff leaves it, under the settings that hold for its target.

    Raises:
        FileNotFoundError: ruff is not installed.
        SyntaxError: ruff refuses the text.
    """
    beside = Path(sysconfig.get_path("scripts")) / "ruff"
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    if ruff is None:
        raise FileNotFoundError("ruff is not installed; run `make setup`")
    done = subprocess.run(
        [ruff, *command, "--stdin-filename", str(root / target), "-"],
        cwd=root, input=text, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        raise SyntaxError(f"ruff refuses {target}: {done.stderr.strip()}")
    return done.stdout


def twins(root: Path = ROOT, pairs: Sequence[Pair] = PAIRS, rules: Rules = RULES) -> dict[str, str]:
    """Return target path → text of every twin.

    Raises:
        UnusedRuleError: a rule changed nothing in any source.
        FileNotFoundError: a source is missing.
    """
    rewriter = Rewriter(rules)
    made = {pair.target: twin(pair, root, rewriter) for pair in pairs}
    unused = rules.all() - set(rewriter.used)
    if unused:
        raise UnusedRuleError(f"rules of tools/unasync.py that no line used: {', '.join(sorted(unused))}")
    return made


def write(root: Path = ROOT, pairs: Sequence[Pair] = PAIRS, rules: Rules = RULES) -> None:
    """Write every twin and removes those whose source is gone."""
    for target, text in twins(root, pairs, rules).items():
        (root / target).write_text(text, encoding="utf-8")
    for orphan in orphans(root, pairs):
        (root / orphan).unlink()


def check(root: Path = ROOT, pairs: Sequence[Pair] = PAIRS, rules: Rules = RULES) -> list[str]:
    """Return the faults of the twins on disk, a line each: stale, missing, orphaned; empty when all is well."""
    try:
        made = twins(root, pairs, rules)
    except (FileNotFoundError, SyntaxError, UnusedRuleError) as error:
        return [str(error)]
    stale = [
        f"stale: {target} differs from what its source gives"
        for target, text in made.items()
        if not (root / target).exists() or (root / target).read_text(encoding="utf-8") != text
    ]
    return stale + [f"orphaned: {path} is marked as generated, but no source makes it" for path in orphans(root, pairs)]


def orphans(root: Path = ROOT, pairs: Sequence[Pair] = PAIRS) -> list[str]:
    """Return files that carry the banner although no pair makes them."""
    targets = {pair.target for pair in pairs}
    marked = (
        path.relative_to(root).as_posix()
        for folder in ("packages", "tests")
        for path in sorted((root / folder).rglob("*.py"))
        if _BANNER_LINE.match(path.read_text(encoding="utf-8"))
    )
    return [path for path in marked if path not in targets]


if __name__ == "__main__":
    write()
    sys.exit(0)

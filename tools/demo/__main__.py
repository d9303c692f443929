"""The main job, end to end, on real input: `python tools/demo` (or `make demo`)."""

import argparse
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from corpus import Entry, collect
from neurograph import NeuroGraphClient
from neurograph.models import Token
from vectrograph import RunningServer, running
from vectron_client import Point, VectronClient

QUESTIONS = (
    "read a compressed archive",
    "measure how long code takes",
    "copy a whole directory tree",
    "pick a random element from a list",
    "wait for several threads to finish",
)
BATCH = 256
MODULES = "python-modules"
console = Console(width=110)


@dataclass
class Story:
    """Work done and its duration, for the closing table."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, what: str, count: int, unit: str, seconds: float) -> None:
        """One line: count things in so many seconds."""
        self.rows.append((what, f"{count:,} {unit} in {seconds:.2f} s", f"{count / seconds:,.0f} {unit}/s"))

    def show(self) -> None:
        """Print the table."""
        table = Table(title="What was done", title_justify="left", header_style="bold")
        for heading in ("step", "amount", "rate"):
            table.add_column(heading, justify="left" if heading == "step" else "right")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server up afterwards")
    keep = parser.parse_args().keep
    story = Story()

    started = time.perf_counter()
    corpus = collect()
    story.add("read the standard library's documentation", len(corpus), "texts", time.perf_counter() - started)

    started = time.perf_counter()
    with running() as server:
        console.print(
            f"Server up in {time.perf_counter() - started:.2f} s: "
            f"REST on {server.http_url}, gRPC on {server.grpc_address}"
        )
        with server.neurograph() as neurograph, server.vectron() as vectron:
            tokens = create_tokens(neurograph, corpus, story)
            ask(neurograph, story)
            search_modules(vectron, tokens, story)
            compare(neurograph, vectron, tokens)
        story.show()
        if keep:
            wait(server)
    console.print("Server stopped. The data was temporary and is gone.")


def create_tokens(client: NeuroGraphClient, corpus: Sequence[Entry], story: Story) -> list[Token]:
    """Return one token for each text, in batches; each batch is all or nothing, and on disk when acknowledged."""
    tokens: list[Token] = []
    bar = Progress(
        TextColumn("Creating tokens over REST"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    started = time.perf_counter()
    with bar:
        task = bar.add_task("tokens", total=len(corpus))
        for start in range(0, len(corpus), BATCH):
            batch = corpus[start : start + BATCH]
            tokens += client.tokens.create_many({"text": e.text, "metadata": e.metadata} for e in batch)
            bar.advance(task, len(batch))
    story.add("created tokens through neurograph (REST)", len(tokens), "tokens", time.perf_counter() - started)
    return tokens


def ask(client: NeuroGraphClient, story: Story) -> None:
    """Answer each question with the tokens nearest to its embedding."""
    table = Table(title="Five questions, answered through neurograph", title_justify="left", header_style="bold")
    table.add_column("question and answers", no_wrap=True)
    table.add_column("kind")
    table.add_column("similarity", justify="right", no_wrap=True)
    table.add_column("its documentation begins", no_wrap=True)
    seconds = 0.0
    for question in QUESTIONS:
        started = time.perf_counter()
        [vector] = client.embeddings.create([question])
        hits = client.tokens.query(query_vector=vector, top_k=3)
        seconds += time.perf_counter() - started
        table.add_row(f"[bold]{question}?")
        for hit in hits:
            metadata = hit.token.metadata or {}
            begins = (hit.token.text or "").partition(": ")[2]
            table.add_row(
                f"  {metadata['qualified_name']}",
                metadata["kind"],
                f"{hit.similarity:.3f}",
                textwrap.shorten(begins, 44, placeholder=" …"),
            )
        table.add_section()
    console.print(table)
    story.add("embedded and answered questions", len(QUESTIONS), "questions", seconds)


def search_modules(client: VectronClient, tokens: Sequence[Token], story: Story) -> None:
    """Write and search a collection over gRPC."""
    modules = [token for token in tokens if (token.metadata or {})["kind"] == "module"]
    points = [
        Point(id=(token.metadata or {})["module"], vector=token.embedding, payload={"summary": token.text or ""})
        for token in modules
    ]
    client.create_collection(MODULES, dimension=len(points[0].vector), distance="cosine")
    started = time.perf_counter()
    count = client.upsert(MODULES, points)
    story.add("upserted points through vectron_client (gRPC)", count, "points", time.perf_counter() - started)

    table = Table(
        title=f"Modules nearest to another, in the collection {MODULES} (score is a distance: lower is closer)",
        title_justify="left",
        header_style="bold",
    )
    table.add_column("module")
    table.add_column("nearest, with score")
    by_id = {point.id: point for point in points}
    started = time.perf_counter()
    answers = {name: client.search(MODULES, vector=point.vector, top_k=4) for name, point in by_id.items()}
    story.add("searched through vectron_client, one by one", len(answers), "queries", time.perf_counter() - started)
    for name in ("json", "threading", "statistics", "zipfile"):
        table.add_row(name, ", ".join(f"{hit.id} {hit.score:.3f}" for hit in answers[name] if hit.id != name))
    console.print(table)


def compare(neurograph: NeuroGraphClient, vectron: VectronClient, tokens: Sequence[Token]) -> None:
    """Find the same tokens through both APIs."""
    probe = next(token for token in tokens if (token.metadata or {})["qualified_name"] == "shutil.copytree")
    by_rest = [(hit.token.id, hit.similarity) for hit in neurograph.tokens.query(query_vector=probe.embedding, top_k=5)]
    by_grpc = [(int(hit.id), 1 - hit.score) for hit in vectron.search("tokens", vector=probe.embedding, top_k=5)]
    names = {token.id: (token.metadata or {})["qualified_name"] for token in tokens}
    table = Table(title=f"One database, two APIs: nearest to {names[probe.id]}", title_justify="left")
    for heading in ("token", "name", "REST similarity", "gRPC 1 - score"):
        table.add_column(heading)
    for (rest_id, rest), (grpc_id, grpc) in zip(by_rest, by_grpc, strict=True):
        if rest_id != grpc_id:
            raise SystemExit(f"REST found token {rest_id} where gRPC found {grpc_id}")
        table.add_row(str(rest_id), names[rest_id], f"{rest:.4f}", f"{grpc:.4f}")
    console.print(table)


def wait(server: RunningServer) -> None:
    """Keep serving until Ctrl-C."""
    console.print(f"\nStill serving until Ctrl-C:\n  REST     {server.http_url}  (docs at {server.http_url}/docs)")
    console.print(f"  Vectron  {server.vectron_http_url}\n  gRPC     {server.grpc_address}")
    console.print("  accounts admin/admin123, developer/developer123, viewer/viewer123")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("")


if __name__ == "__main__":
    main()

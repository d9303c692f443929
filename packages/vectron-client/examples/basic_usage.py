"""Creates a collection, stores points, searches, and cleans up: `python basic_usage.py [HOST] [API_KEY]`."""

import sys

from vectron_client import NotFoundError, Point, VectronClient, VectronError

COLLECTION = "basic-usage"


def main(host: str = "localhost:8081", api_key: str | None = None) -> int:
    """Run the example; returns the exit status."""
    with VectronClient(host, api_key) as client:
        try:
            client.create_collection(COLLECTION, dimension=4, distance="cosine")
            print(f"Collections: {client.list_collections()}")

            points = [
                Point("vec1", [0.1, 0.2, 0.3, 0.4], {"title": "first", "year": 2024}),
                Point("vec2", [0.9, 0.1, 0.0, 0.3], {"title": "second", "tags": ["a", "b"]}),
            ]
            print(f"Stored {client.upsert(COLLECTION, points)} points.")
            more = (Point(f"more{n}", [1.0, n, n / 2, 1.0]) for n in range(1000))
            print(f"Stored {client.upsert_batch(COLLECTION, more)} more.")

            for result in client.search(COLLECTION, [0.1, 0.2, 0.3, 0.4], top_k=2):
                print(f"Found {result.id} at distance {result.score:.3f}: {result.payload}")  # lower is closer

            print(client.get(COLLECTION, "vec1"))
            client.delete(COLLECTION, "vec1")
            try:
                client.get(COLLECTION, "vec1")
            except NotFoundError as error:
                print(f"Deleted: {error.message}")
            client.delete_collection(COLLECTION)
        except VectronError as error:
            print(f"Failed: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))

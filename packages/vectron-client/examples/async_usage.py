"""Many searches at once with the asynchronous client: `python async_usage.py [HOST] [API_KEY]`."""

import asyncio
import sys

from vectron_client import AsyncVectronClient, Point, VectronError

COLLECTION = "async-usage"


async def main(host: str = "localhost:8081", api_key: str | None = None) -> int:
    """Run the example; returns the exit status."""
    async with AsyncVectronClient(host, api_key) as client:
        try:
            await client.create_collection(COLLECTION, dimension=2, distance="euclidean")
            points = (Point(str(n), [float(n), float(n % 7)]) for n in range(2000))
            print(f"Stored {await client.upsert_batch(COLLECTION, points, concurrency=4)} points.")

            queries = [[float(n), 3.0] for n in range(0, 100, 10)]
            answers = await asyncio.gather(*[client.search(COLLECTION, query, top_k=1) for query in queries])
            for query, results in zip(queries, answers, strict=True):
                print(f"{query} is closest to {results[0].id}, squared distance {results[0].score:g}")
            await client.delete_collection(COLLECTION)
        except VectronError as error:
            print(f"Failed: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:3])))

"""Create, list, upsert, search."""

from vectron_client import Point, VectronClient
from vectron_client.exceptions import NotFoundError, VectronError


def main() -> None:
    with VectronClient(host="localhost:8081", api_key="YOUR_API_KEY") as client:
        try:
            client.create_collection(name="my-py-collection", dimension=4, distance="cosine")
            print("Collection created.")

            collections = client.list_collections()
            print(f"Available collections: {collections}")
            assert collections == ["my-py-collection", "tokens"]

            points_to_upsert = [
                Point(id="vec1", vector=[0.1, 0.2, 0.3, 0.4]),
                Point(id="vec2", vector=[0.5, 0.6, 0.7, 0.8]),
            ]
            upsert_count = client.upsert("my-py-collection", points_to_upsert)
            print(f"Upserted {upsert_count} points.")
            assert upsert_count == 2

            results = client.search("my-py-collection", vector=[0.1, 0.2, 0.3, 0.4], top_k=1)
            for res in results:
                print(f"Found: ID={res.id}, Score={res.score}")
            assert [res.id for res in results] == ["vec1"]
        except NotFoundError as e:
            raise AssertionError(f"A required resource was not found: {e}") from e
        except VectronError as e:
            raise AssertionError(f"A Vectron-specific error occurred: {e}") from e


main()

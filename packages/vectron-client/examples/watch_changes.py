"""Keeps a copy of a collection up to date from its changes: `python watch_changes.py [HOST] [API_KEY]`."""

import sys

from vectron_client import NotFoundError, Point, PositionExpiredError, VectronClient, VectronError

COLLECTION = "watch-changes"


def main(host: str = "localhost:8081", api_key: str | None = None) -> int:
    """Run the example; returns the exit status."""
    with VectronClient(host, api_key) as client:
        try:
            client.create_collection(COLLECTION, dimension=2)
            titles: dict[str, str] = {}

            with client.watch(COLLECTION, include_payload=True) as changes:
                client.upsert(COLLECTION, [Point("a", [0, 1], {"title": "first"}), Point("b", [1, 0], {"title": "b"})])
                client.upsert(COLLECTION, [Point("b", [1, 0], {"title": "second"})])
                client.delete(COLLECTION, "a")
                for change in changes:
                    if change.point is None:  # deleted now, though this change may be an earlier one
                        titles.pop(change.id, None)
                    elif change.point.payload is not None:
                        titles[change.id] = change.point.payload["title"]
                    print(f"Version {change.version}: {change.id} was {change.type}")
                    if change.type == "deleted":
                        break
                saved = changes.position  # save it together with the copy
            print(f"The copy has {titles}")

            client.upsert(COLLECTION, [Point("c", [1, 1], {"title": "meanwhile"})])
            try:
                with client.watch(COLLECTION, since=saved, include_payload=True) as changes:
                    change = next(changes)
                    print(f"While nobody watched, {change.id} was {change.type}")
                    client.delete_collection(COLLECTION)
                    next(changes)
            except PositionExpiredError as error:  # away for too long: read the points anew, go on from there
                print(f"Go on from {error.oldest}")
            except NotFoundError as error:
                print(f"No more changes: {error.message}")
        except VectronError as error:
            print(f"Failed: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))

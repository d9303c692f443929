"""Mistakes that a type checker must report: each line marked `# wrong` is a mistake, and no other is."""

from neurograph import AsyncNeuroGraphClient, NeuroGraphClient, NotFoundError
from neurograph.middleware import AsyncHandler
from neurograph.tracing import traced
from neurograph.wire import Request, Response


async def asynchronous_middleware(request: Request, call_next: AsyncHandler) -> Response:
    return await call_next(request)


def synchronous(client: NeuroGraphClient) -> None:
    client.tokens.get("7")  # wrong
    client.tokens.create()  # wrong
    client.tokens.create(text=None)  # wrong
    client.tokens.query([0.1], top_k="10")  # wrong
    client.tokens.create_many(["a"], on_error="ignore")  # wrong
    client.tokens.lst()  # wrong
    client.tokens.get(7).text.upper()  # wrong
    client.api_keys.create(scopes=["tokens:read"])  # wrong
    NeuroGraphClient(middleware=[asynchronous_middleware])  # wrong
    NeuroGraphClient(time_out=3)  # wrong


async def asynchronous(client: AsyncNeuroGraphClient) -> None:
    (await client.tokens.get(7)).embedding.append("x")  # wrong
    for _ in client.tokens.iterate():  # wrong
        pass
    traced("client")  # wrong
    print(NotFoundError("gone").status)  # wrong

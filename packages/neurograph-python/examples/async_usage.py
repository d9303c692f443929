"""Many calls at once with the asynchronous client.

Run a server first (`vectrograph serve --data ./data`), then this file. Another address goes into NEUROGRAPH_BASE_URL.
"""

import asyncio
import time

from neurograph import AsyncNeuroGraphClient, Token

USERNAME, PASSWORD = "developer", "developer123"


async def create(client: AsyncNeuroGraphClient, texts: list[str]) -> list[Token]:
    """Create tokens side by side; the login happens once."""
    return await asyncio.gather(*(client.tokens.create(text=text) for text in texts))


async def main() -> None:
    """Create, query and remove."""
    async with AsyncNeuroGraphClient(username=USERNAME, password=PASSWORD) as client:
        started = time.perf_counter()
        tokens = await create(client, [f"thought number {number}" for number in range(50)])
        print(f"created {len(tokens)} tokens in {time.perf_counter() - started:.2f} s")

        answers = await asyncio.gather(
            *(client.tokens.query(query_vector=token.embedding, top_k=3) for token in tokens[:10])
        )
        found = sum(hits[0].token.id == token.id for token, hits in zip(tokens, answers, strict=False))
        print(f"{found} of {len(answers)} tokens found themselves first")

        count = 0
        async for _ in client.tokens.iterate(page_size=20):
            count += 1
        print(f"walked over {count} tokens")

        await asyncio.gather(*(client.tokens.delete(token.id) for token in tokens))


if __name__ == "__main__":
    asyncio.run(main())

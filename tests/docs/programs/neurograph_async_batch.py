"""A hundred creations and ten queries, all concurrent."""

import asyncio

from neurograph import AsyncNeuroGraphClient, Token


async def batch_create(client: AsyncNeuroGraphClient, texts: list[str]) -> list[Token]:
    tasks = [client.tokens.create(text=text) for text in texts]
    return await asyncio.gather(*tasks)


async def main() -> None:
    async with AsyncNeuroGraphClient(base_url="http://localhost:8000", api_key="ng_your_key_here") as client:
        texts = [f"token_{i}" for i in range(100)]
        tokens = await batch_create(client, texts)
        print(f"Created {len(tokens)} tokens")
        query_tasks = [client.tokens.query(query_vector=token.embedding, top_k=5) for token in tokens[:10]]
        results = await asyncio.gather(*query_tasks)
        print(f"Executed {len(results)} queries")
        assert [hits[0].token.id for hits in results] == [token.id for token in tokens[:10]]


asyncio.run(main())

"""First steps, asynchronous: an API key, and ten tokens at once."""

import asyncio

from neurograph import AsyncNeuroGraphClient


async def main() -> None:
    async with AsyncNeuroGraphClient(base_url="http://localhost:8000", api_key="ng_your_api_key_here") as client:
        tasks = [client.tokens.create(text=f"token {i}") for i in range(10)]
        tokens = await asyncio.gather(*tasks)
        print(f"Created {len(tokens)} tokens")
        assert len({token.id for token in tokens}) == 10


asyncio.run(main())

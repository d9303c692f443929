"""Text to vectors without storing anything; asynchronous."""

from collections.abc import Sequence

from neurograph import calls
from neurograph.async_executor import AsyncExecutor


class AsyncEmbeddings:
    """Turn texts into vectors with the server's model."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def create(self, texts: Sequence[str]) -> list[list[float]]:
        """Turns texts into vectors; nothing is stored.

        Args:
            texts: any number of them; sent in batches.

        Returns:
            A vector per text, in the same order, of the dimension of the server's model.

        Raises:
            ValidationError: an empty or too long text.
        """
        vectors: list[list[float]] = []
        for call in calls.embed(texts):
            batch = await self._executor.run(call)
            vectors += batch
        return vectors

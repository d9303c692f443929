"""A retry loop of the user's own, around errors that may pass."""

import time

from neurograph import NeuroGraphClient, RateLimitError, ServerError, Token

client = NeuroGraphClient(base_url="http://localhost:8000", username="developer", password="developer123")


def create_token_with_retry(text: str, max_retries: int = 3) -> Token:
    for attempt in range(max_retries):
        try:
            return client.tokens.create(text=text)
        except RateLimitError as e:
            if attempt == max_retries - 1:
                raise
            wait_time = e.retry_after or (2**attempt)
            print(f"Rate limited. Retry in {wait_time}s...")
            time.sleep(wait_time)
        except ServerError:
            if attempt == max_retries - 1:
                raise
            print("Server error. Retrying...")
            time.sleep(2**attempt)
    raise AssertionError("unreachable")


assert create_token_with_retry("resilient token").text == "resilient token"
client.close()

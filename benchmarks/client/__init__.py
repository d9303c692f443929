"""Cost of this project's `neurograph` client, beside bare httpx2 and the clients of other vector databases."""

"""What this project's `neurograph` client costs, beside bare httpx2 and the clients of other vector databases."""

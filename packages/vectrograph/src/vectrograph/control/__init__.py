"""Accounts, sessions, API keys and feedback: what a server knows besides collections."""

"""Accounts: logins, sessions, API keys, roles, lockout, audit."""

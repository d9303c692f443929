"""Live events: what happens in collections and in the server, for any number of readers; knows no transport."""

"""Live events over HTTP: Server-Sent Events and what other transports over HTTP share with them."""

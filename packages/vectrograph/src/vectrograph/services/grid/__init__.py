"""Grid: tokens in eight spaces of three dimensions each, and questions about who is near."""

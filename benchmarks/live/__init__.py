"""What it costs to send live events, and how late they come."""

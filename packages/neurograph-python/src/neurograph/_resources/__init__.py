"""The parts of the API: an asynchronous class for each, and its synchronous twin."""

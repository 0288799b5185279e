"""One level of one artwork, rendered: the engine's parts put together, and what is recorded of it."""

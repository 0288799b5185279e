"""One level of one artwork, or one mixture of styles: the engine's parts put together, and their record."""

"""GraphQL reads per second: the engine, the executor, PostGraphile and hand-written endpoints."""

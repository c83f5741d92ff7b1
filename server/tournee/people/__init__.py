"""The domain people."""

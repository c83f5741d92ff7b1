"""The domain assets."""

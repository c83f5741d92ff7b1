"""Authentication: accounts and their roles, devices, and tokens, which become actors here."""

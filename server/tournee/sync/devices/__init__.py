"""The devices themselves: what they report, how they are revoked, what they surrender."""

"""Who may come in: accounts and their roles, devices, tokens; tokens become actors here."""

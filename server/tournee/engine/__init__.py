"""Pipeline the kernel: carries what a command writes into the database, and hears of what others wrote."""

"""Pages of accounts: signing in and recovery (`access`), the account's own data (`profile`)."""

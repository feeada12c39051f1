"""Who uses this relay, joined with whom it is meant for: the rows of the ledger, and the ranges and accounts of the configuration."""

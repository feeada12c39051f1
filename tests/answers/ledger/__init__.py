"""Tests of what the ledger is asked."""

"""The reports that go back to senders (RFC 3464)."""

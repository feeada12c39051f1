"""What would happen to a connection, a sender, a recipient: the relay's own code is asked, and says why."""

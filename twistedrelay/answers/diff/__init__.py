"""What another configuration would change: objects, queued mail, and the answers that clients get."""

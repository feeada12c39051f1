"""What happened, made visible: logs and counters.  This room only consumes events."""

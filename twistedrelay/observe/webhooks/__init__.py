"""Events posted to web servers: C{telling} makes a document of an event, C{signing} signs it, C{hook} sends it until it is taken, C{sink}
gives events to hooks."""

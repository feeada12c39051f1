"""Where mail goes: accepted domains, send connectors, MX."""

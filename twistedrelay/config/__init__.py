"""The configuration: its objects, its files and its users.  See C{load}, C{schema} and C{users}."""

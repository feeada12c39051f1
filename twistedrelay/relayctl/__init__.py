"""The command line: thin, over the control API and the configuration file."""

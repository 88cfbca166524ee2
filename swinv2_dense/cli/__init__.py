"""The command line: options of all commands, and their help."""

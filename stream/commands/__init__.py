"""One file a command of `hoistream`."""

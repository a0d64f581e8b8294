"""A configuration becomes running parts."""

"""Runtimes behind one protocol; each is imported only when it is chosen."""

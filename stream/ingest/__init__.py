"""Decoder processes under watch, their account, and batches of their frames."""

"""The error tree: what a user sees as one line, with the exit code it ends a command with."""

from __future__ import annotations


class HoistreamError(Exception):
    """Work that failed. The message says what, expected, got and what to do next; a command exits with 1."""

    exit_code = 1


class InputError(HoistreamError, ValueError):
    """Input or usage that cannot be right (a bad file, option or setting); a command exits with 2."""

    exit_code = 2

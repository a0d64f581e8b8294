"""The one place that makes foreign text harmless: what a camera, a server, a file or a decoder says, at the entrance.

Control characters would act on the operator's terminal (colours, titles, erased lines, text that runs backwards) and
break logs into lines that nobody wrote. They are taken out before the text is kept anywhere.
"""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_CHARACTERS = 500


def harmless(text: object, max_characters: int = MAX_CHARACTERS) -> str:
    """Return `text` as one line of printable characters, at most `max_characters` of them.

    White space of any kind becomes one space; other characters that are not printed (controls, escapes, directions,
    halves of surrogate pairs) become U+FFFD. Text that is harmless already comes back as it is.
    """
    line = str(text)
    if not line.isprintable():
        line = "".join(c if c.isprintable() else " " if c.isspace() else REPLACEMENT for c in line)
        line = " ".join(line.split())
    return line if len(line) <= max_characters else f"{line[: max_characters - 1]}…"

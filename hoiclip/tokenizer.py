"""CLIP's byte pair encoding without torch: from text to the text tower's tokens."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import ftfy
import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as Steps

from hoiclip.errors import InputError

START, END = "<start_of_text>", "<end_of_text>"
_PIECES = rf"(?i:{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+)"
_BETWEEN = "\u0345"  # open_clip's pattern passes over this one mark: ignoring case it is a letter and is none


class ClipTokenizer:
    """Tokens of texts, equal to those of open_clip's `SimpleTokenizer`.

    Source: CLIP (Radford et al., 2021): lower case, byte pair encoding with 49,152 merges.
    """

    def __init__(self, path: Path, context_length: int = 77) -> None:
        """Read a file that `write_tokenizer` made. Raises InputError when it is none."""
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing more specific
            raise InputError(f"{path}: not a tokenizer ({error}); make the bundle again") from error
        self._context_length = context_length
        self._special = {text: self._tokenizer.model.token_to_id(text) for text in (START, END)}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return tokens [N, context length]: start, the text, end, zeros; a long text loses its end."""
        tokens = np.zeros((len(texts), self._context_length), np.int64)
        for row, text in zip(tokens, texts, strict=True):
            ids = [self._special[START], *self._encode(clean(text))][: self._context_length - 1]
            row[: len(ids) + 1] = [*ids, self._special[END]]
        return tokens

    def _encode(self, cleaned: str) -> Iterable[int]:
        for piece, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(cleaned.replace(_BETWEEN, " ")):
            if piece in self._special:  # written out in a text, they mean themselves
                yield self._special[piece]
            else:
                yield from (token.id for token in self._tokenizer.model.tokenize(piece))


def clean(text: str) -> str:
    """Return a text as CLIP reads it: broken encodings mended, HTML entities resolved, one blank, lower case."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


def write_tokenizer(path: Path) -> None:
    """Write CLIP's tokenizer as open_clip ships it to `path`, in the JSON of the `tokenizers` library."""
    from open_clip.tokenizer import SimpleTokenizer

    source = SimpleTokenizer()
    merges = sorted(source.bpe_ranks, key=source.bpe_ranks.__getitem__)
    tokenizer = Tokenizer(BPE(vocab=source.encoder, merges=merges, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = Steps(
        [Split(Regex(_PIECES), "removed", invert=True), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    path.write_text(tokenizer.to_str(), encoding="utf-8")

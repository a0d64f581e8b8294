"""Tokens equal open_clip's to the last one, whatever people write."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from hoiclip.errors import InputError
from hoiclip.tokenizer import ClipTokenizer, write_tokenizer

COUNT = 10_000
WRITTEN = (
    "a person riding bicycle the cup Holding CARRYING ladder it's they'll we've I'm don't you'd 'LL 1234 3.14 ... -- "
    "!? &amp; &lt;b&gt; &#128690; &nbsp; &amp;amp; café naïve ПРИВЕТ Straße 你好 こんにちは 한국어 العربية हिन्दी "
    "🚲 👩‍🚒 👍🏽 🇩🇪 <start_of_text> <end_of_text> <|endoftext|> !<start_of_text> ſ 'ſ ß ﬃ Ǆ İ \u0345 \t \n "
    "&eacute; \u00a0 \u200b \u2028 schÃ¶n âœ” _ under_score e\u0301 ２ ½ Ⅷ"
)
PIECES = WRITTEN.split(" ")


def written(rng: random.Random) -> str:
    """Return what somebody might write: words, words without blanks, very long texts, any characters at all."""
    kind = rng.random()
    if kind < 0.55:
        return rng.choice((" ", "")).join(rng.choice(PIECES) for _ in range(rng.randint(0, 12)))
    if kind < 0.6:
        return " ".join(rng.choice(PIECES) for _ in range(rng.randint(60, 120)))
    ranges = rng.choice([((32, 0x24F),), ((1, 0x2FFF),), ((0xE000, 0x10FFFF), (0x1F300, 0x1FAFF), (1, 0xD7FF))])
    text = "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(0, 25)))
    return "".join(c for c in text if unicodedata.category(c) != "Cn")  # libraries know different newest characters


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ClipTokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(path)
    return ClipTokenizer(path)


def test_ten_thousand_texts_give_the_tokens_of_open_clip(tokenizer: ClipTokenizer) -> None:
    rng = random.Random(7)
    texts = ["", " ", "\n", *(written(rng) for _ in range(COUNT))]
    ours, theirs = tokenizer(texts), SimpleTokenizer()(texts).numpy()
    wrong = [text for text, a, b in zip(texts, ours, theirs, strict=True) if not np.array_equal(a, b)]
    assert wrong == []
    assert sum(int(row.argmax()) == 76 for row in ours) > 200  # texts that were too long were among them


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer"):
        ClipTokenizer(path)

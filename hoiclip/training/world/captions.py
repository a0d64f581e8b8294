"""What CLIP reads while it learns: captions of what pictures show, and of pairs that no picture shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hoiclip.vocabulary import Vocabulary, spoken

TEMPLATES: tuple[str, ...] = (
    "a photo of a person {phrase} {article} {object}",
    "a person {phrase} {article} {object}",
    "someone is {phrase} {article} {object}",
    "a picture of a person who is {phrase} {article} {object}",
)
VERB_TEMPLATES: tuple[str, ...] = ("a photo of a person {phrase} something", "someone is {phrase} something")
OBJECT_TEMPLATES: tuple[str, ...] = ("a photo of {article} {object}", "a picture of {article} {object}")
BESIDE = "beside"  # said of people who do nothing with what stands next to them


class Pair(NamedTuple):
    """A verb and an object; the verb after the vocabulary's last one is `BESIDE`."""

    verb: int
    object: int


class Captions:
    """Captions of a vocabulary, so that each crop is compared with all of them: the hardest negatives included.

    `pairs` are the interactions that training shows, in their order, and every object with `BESIDE`. The unseen
    interactions are no negatives: nothing is known of them.
    """

    def __init__(self, vocabulary: Vocabulary, shown: Sequence[int]) -> None:
        self._phrases = [*(verb.phrase for verb in vocabulary.verbs), BESIDE]
        self._nouns = [spoken(each.name) for each in vocabulary.objects]
        beside = len(vocabulary.verbs)
        self.pairs = [
            *(Pair(vocabulary.interactions[k].verb, vocabulary.interactions[k].object) for k in shown),
            *(Pair(beside, item) for item in range(len(self._nouns))),
        ]
        self.num_verbs, self.num_objects = len(self._phrases), len(self._nouns)

    @property
    def every_pair(self) -> list[Pair]:
        """Every verb with every object; most of them no picture shows."""
        return [Pair(verb, item) for verb in range(self.num_verbs) for item in range(self.num_objects)]

    def pair(self, pair: Pair, template: int) -> str:
        """Return a caption with verb and object; templates repeat."""
        return self._fill(TEMPLATES, template, self._phrases[pair.verb], self._nouns[pair.object])

    def verbs(self, template: int) -> list[str]:
        """Return a caption for each verb that leaves the object open."""
        return [self._fill(VERB_TEMPLATES, template, phrase, "") for phrase in self._phrases]

    def objects(self, template: int) -> list[str]:
        """Return a caption for each object."""
        return [self._fill(OBJECT_TEMPLATES, template, "", noun) for noun in self._nouns]

    def _fill(self, templates: Sequence[str], template: int, phrase: str, noun: str) -> str:
        chosen = templates[template % len(templates)]
        return chosen.format(phrase=phrase, object=noun, article="an" if noun[:1] in set("aeio") else "a")

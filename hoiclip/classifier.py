"""Text classifiers: from a checkpoint's trained rows and a deployment's words to the matrices a head multiplies by."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoiclip.cache import cache_directory
from hoiclip.errors import InputError
from hoiclip.vocabulary import ANY, Vocabulary, Wanted, spoken

logger = logging.getLogger(__name__)
Floats = NDArray[np.float32]
_FORMAT = "1"  # part of the cache key: raise it when the arithmetic below changes


@dataclass(frozen=True)
class TrainedHeads:
    """The trained heads of a checkpoint, outside the graph. K interactions, A verbs, E embedding."""

    interaction_text: Floats  # [K, E] T
    interaction_bias: Floats  # [K] b; zeros for zero-shot checkpoints
    verb_text: Floats  # [A, E] W
    verb_to_interaction: Floats  # [A, K] M, 0/1
    logit_scale: float  # s, already exponentiated
    verb_weight: float  # lambda
    text_embedding: Floats  # [K, E] unit CLIP text embeddings of the prompts, for the enhancement

    @cached_property
    def mapped_verb_text(self) -> Floats:
        """The verbs' share of each interaction, [K, E]; a column of M may name other rows than its verb's."""
        mapped = np.zeros((self.verb_to_interaction.shape[1], self.verb_text.shape[1]), np.float32)
        verbs, interactions = np.nonzero(self.verb_to_interaction)  # few: a product of full matrices takes longer
        weights = self.verb_to_interaction[verbs, interactions, None]
        np.add.at(mapped, interactions, weights * self.verb_text[verbs])
        return mapped


@dataclass(frozen=True)
class TextClassifier:
    """What one deployment scores against: one row an interaction, K rows. Empty (K = 0) finds nothing."""

    names: tuple[str, ...]  # to show, such as "ride bicycle"
    verbs: tuple[str, ...]
    objects: tuple[str, ...]  # "any" where the text names none
    prompts: tuple[str, ...]
    object_index: NDArray[np.int64]  # [K], -1 for any
    text: Floats  # [K, E]
    bias: Floats  # [K]
    verb_text: Floats  # [K, E] the verb's row, zeros where no verb is known
    verb_weight: float
    logit_scale: float
    no_interaction: NDArray[np.bool_]  # [K] true for classes that say "nothing is done"
    text_embedding: Floats  # [K, E] unit CLIP text embeddings, for the enhancement
    object_names: tuple[str, ...]  # every object class of the model, by index
    fingerprint: str
    rivals: NDArray[np.int64] | None = None
    """[K, R] rows that cannot be true of a pair together with each row, filled up with the row itself."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class TaughtRow:
    """A row made from examples by `hoistream teach`."""

    name: str
    text: Floats  # [E] the interaction row
    verb_text: Floats  # [E] the verb row by visual semantic arithmetic
    object: int | None
    embedding: Floats  # [E] unit: CLIP's text embedding of the name
    bias: float = 0.0  # where the examples and what is none of them part, in units of the cosine


Encode = Callable[[Sequence[str]], Floats]  # unit text embeddings [N, E]


def build_classifier(
    heads: TrainedHeads,
    known: Vocabulary,
    wanted: Sequence[Wanted],
    *,
    model_fingerprint: str,
    encode: Encode,
    templates: Sequence[str] = ("{}",),
    taught: Sequence[TaughtRow] = (),
    cache_dir: Path | None = None,
) -> TextClassifier:
    """Return the classifier for the rows `wanted`.

    Known rows reuse the checkpoint's trained row, bias and verb row. Free text goes through the text tower (`encode`,
    called at most once and not at all when the embeddings are in the cache), each template filled and averaged; its
    bias is the mean of the trained ones and its verb row that of the known verb it names.

    Source: HOICLIP (Ning et al., CVPR 2023), sections 3.3 and 3.5.
    """
    scale, embed = heads.logit_scale, heads.interaction_text.shape[1]
    texts = [row.text for row in wanted if row.known is None and row.taught is None]
    embeddings = dict(
        zip(texts, _free_rows(texts, templates, model_fingerprint, encode, cache_dir, embed), strict=True)
    )
    lessons = {row.name: row for row in taught}
    mean_bias = float(heads.interaction_bias.mean()) if len(heads.interaction_bias) else 0.0
    count = len(wanted)
    text, verb_text, raw = (np.zeros((count, embed), np.float32) for _ in range(3))
    bias = np.zeros(count, np.float32)
    objects = np.array([-1 if row.object is None else row.object for row in wanted], np.int64)
    places = [k for k, row in enumerate(wanted) if row.known is not None]
    if places:
        known_rows = [row.known for row in wanted if row.known is not None]
        text[places], bias[places] = heads.interaction_text[known_rows], heads.interaction_bias[known_rows]
        raw[places] = heads.text_embedding[known_rows]
        verb_text[places] = heads.mapped_verb_text[known_rows]
    for k, row in enumerate(wanted):
        if row.taught is not None:
            if row.taught not in lessons:
                raise InputError(
                    f"`{row.taught}` was not taught to this model; run `hoistream teach` or remove the line"
                )
            lesson = lessons[row.taught]
            text[k], bias[k], verb_text[k], raw[k] = lesson.text, lesson.bias, lesson.verb_text, lesson.embedding
            objects[k] = -1 if lesson.object is None else lesson.object
        elif row.known is None:
            text[k] = raw[k] = embeddings[row.text]
            bias[k] = mean_bias
            if row.verb is not None:
                verb_text[k] = heads.verb_text[row.verb]
    names = tuple(row.name for row in wanted)
    # The model's fingerprint and the words fix every row but the taught ones.
    digest = hashlib.sha256(json.dumps([_FORMAT, model_fingerprint, list(templates), list(wanted)]).encode())
    for lesson in (lessons[row.taught] for row in wanted if row.taught is not None):
        digest.update(lesson.text.tobytes() + lesson.verb_text.tobytes() + lesson.embedding.tobytes())
        digest.update(f"{lesson.bias!r} {lesson.object}".encode())
    rivals = _rivals(known, wanted)
    if rivals is not None:
        digest.update(rivals.tobytes())
    verbs = tuple(known.verbs[row.verb].name if row.verb is not None else row.name for row in wanted)
    return TextClassifier(
        names=names,
        verbs=verbs,
        objects=tuple(ANY if i < 0 else spoken(known.objects[i].name) for i in objects),
        prompts=tuple(row.text or row.name for row in wanted),
        object_index=objects,
        text=text,
        bias=bias,
        verb_text=verb_text,
        verb_weight=heads.verb_weight,
        logit_scale=scale,
        no_interaction=np.array([verb == "no_interaction" for verb in verbs], bool),
        text_embedding=raw,
        object_names=tuple(spoken(thing.name) for thing in known.objects),
        fingerprint=digest.hexdigest()[:16],
        rivals=rivals,
    )


def _rivals(known: Vocabulary, wanted: Sequence[Wanted]) -> NDArray[np.int64] | None:
    """Return for each row those of the same object whose verb excludes its own, [K, R]; None where there is none.

    Rows without a known verb or for any object have no rivals.
    """
    if known.together is None:
        return None
    together = {frozenset(pair) for pair in known.together}
    rows: list[list[int]] = [[] for _ in wanted]
    for k, one in enumerate(wanted):
        for j, other in enumerate(wanted):
            if one.verb is None or other.verb is None or one.verb == other.verb or one.object is None:
                continue
            if one.object == other.object and frozenset((one.verb, other.verb)) not in together:
                rows[k].append(j)
    most = max(map(len, rows), default=0)
    if not most:
        return None
    return np.array([each + [k] * (most - len(each)) for k, each in enumerate(rows)], np.int64)


def _free_rows(
    texts: Sequence[str], templates: Sequence[str], fingerprint: str, encode: Encode, cache_dir: Path | None, embed: int
) -> Floats:
    """Return unit rows [N, E] for free texts, from the cache or through the text tower."""
    if not texts:
        return np.zeros((0, embed), np.float32)
    key = hashlib.sha256(json.dumps([_FORMAT, fingerprint, list(templates), list(texts)]).encode()).hexdigest()
    path = (cache_dir or cache_directory() / "classifiers") / f"{key}.npy"
    try:
        cached: Floats = np.load(path, allow_pickle=False)
        if cached.shape == (len(texts), embed) and cached.dtype == np.float32:
            return cached
        logger.warning("classifier cache %s has the wrong shape and is made anew", path)
    except (OSError, ValueError):
        logger.debug("classifier cache miss: %s", path)
    filled = [template.replace("{}", text) for text in texts for template in templates]
    rows = encode(filled).reshape(len(texts), len(templates), embed).mean(1)
    rows = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.stem}.{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        part.replace(path)
    except OSError as error:  # a full or read-only disk costs the next start some seconds, not this one
        logger.warning("classifier cache %s cannot be written: %s; set HOISTREAM_CACHE", path, error.strerror)
    return rows

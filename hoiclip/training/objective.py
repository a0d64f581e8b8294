"""HOICLIP's losses on every decoder layer, from a model's training outputs."""

from __future__ import annotations

from torch import Tensor

from hoiclip.training.losses import LossWeights, Totals, layer_losses
from hoiclip.training.matcher import LayerOutputs, PairTargets, match
from hoiclip.types import Outputs


def all_layers(
    outputs: Outputs[Tensor],
    logits: Tensor,
    pairs: list[PairTargets],
    weights: LossWeights,
    *,
    totals: Totals | None = None,
) -> dict[str, Tensor]:
    """Return the summed loss as ``total`` and the last layer's own losses.

    Args:
        outputs: of `HoiClip.forward_training`, leading layer axis.
        logits: [fusion layers, B, Q, K] of the interactions; decoder layers before the fusion take the first.
        pairs: of each image.
        weights: of the total.
        totals: what to divide by when the batch is a part of a larger one.
    """
    num_pairs = max(1.0, float(sum(len(p.object_labels) for p in pairs)) if totals is None else totals.pairs)
    layers, fusion = len(outputs.human_boxes), len(logits)
    total = logits.new_zeros(())
    shown: dict[str, Tensor] = {}
    for layer in range(layers):
        one = LayerOutputs(
            outputs.human_boxes[layer],
            outputs.object_boxes[layer],
            outputs.object_logits[layer],
            logits[max(0, layer - (layers - fusion))],
        )
        losses = layer_losses(
            one, pairs, match(one, pairs), num_pairs=num_pairs, no_object=weights.no_object, totals=totals
        )
        total = total + losses.total(weights)
        shown = {name: value.detach() for name, value in losses._asdict().items()}  # of the last layer
    return {"total": total, **shown}

"""`hoistream eval`: score predictions, events and models against ground truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stream.commands.evaluate_events import events
from stream.commands.evaluate_robustness import robustness
from stream.commands.support.tables import JsonOption, print_measures

app = typer.Typer(
    no_args_is_help=True,
    help="Score pictures (HICO-DET, V-COCO), events and models against ground truth. File formats: docs/evaluation.md.",
)

PredictionsFile = Annotated[Path, typer.Option("--predictions", "-p", help="JSON list of pictures with scored pairs.")]
AnnotationsFile = Annotated[Path, typer.Option("--annotations", "-a", help="JSON list of pictures with true pairs.")]


class VocabularyName(StrEnum):
    """Built-in vocabularies with HICO-DET's measures."""

    hico = "hico"
    world = "world"


@app.command()
def hico(
    predictions: PredictionsFile,
    annotations: AnnotationsFile,
    vocabulary: Annotated[
        VocabularyName, typer.Option(help="Whose interactions the files count.")
    ] = VocabularyName.hico,
    as_json: JsonOption = False,
) -> None:
    """Average precision as HICO-DET defines it: default and known-object, rare and non-rare, unseen and seen.

    Example: hoistream eval hico --predictions found.json --annotations test_hico.json
    """
    from hoiclip.evaluation.hico import InteractionClasses, evaluate_hico
    from hoiclip.evaluation.picture_files import PictureFiles
    from hoiclip.vocabulary import load_builtin

    files = PictureFiles.read(annotations, predictions)
    chosen = load_builtin(vocabulary.value)
    truth, found, num_outside = files.hico_pairs(chosen)
    result = evaluate_hico(truth, found, InteractionClasses.of(chosen))
    counts = {
        "num_pictures": len(files.true_pictures),
        "num_pictures_without_predictions": files.num_without_predictions,
        "num_true_pairs": len(truth),
        "num_predicted_pairs": len(found),
        "num_predicted_pairs_outside_vocabulary": num_outside,
    }
    print_measures(result.summary() | counts, result.per_class() if as_json else None, as_json)


@app.command()
def vcoco(predictions: PredictionsFile, annotations: AnnotationsFile, as_json: JsonOption = False) -> None:
    """Role average precision of V-COCO's 24 verb-roles, scenario 1 and 2.

    Example: hoistream eval vcoco --predictions found.json --annotations test_vcoco.json
    """
    from hoiclip.evaluation.picture_files import PictureFiles
    from hoiclip.evaluation.vcoco import evaluate_vcoco
    from hoiclip.vocabulary import load_builtin

    files = PictureFiles.read(annotations, predictions)
    vocabulary = load_builtin("vcoco")
    truth, found = files.vcoco_roles(len(vocabulary.verbs))
    result = evaluate_vcoco(truth, found, len(vocabulary.verbs), vocabulary.reported_verbs)
    counts = {
        "num_pictures": len(files.true_pictures),
        "num_pictures_without_predictions": files.num_without_predictions,
        "num_true_roles": len(truth.role_verb),
        "num_predicted_roles": len(found.verb),
    }
    names = [verb.name for verb in vocabulary.verbs]
    print_measures(result.summary() | counts, result.per_verb(names) if as_json else None, as_json)


app.command()(events)
app.command()(robustness)


@app.command()
def model(
    pictures: Annotated[Path, typer.Option(help="Folder of `hoistream synth --pictures`, with annotations.json.")],
    model: Annotated[str, typer.Option(help="demo, an installed name or a path; see `hoistream models`.")] = "demo",
    enhancement: Annotated[
        bool, typer.Option("--enhance", help="Training-free enhancement by CLIP's view of the whole picture.")
    ] = False,
    verb_classifier: Annotated[bool, typer.Option(help="Score verbs too; without, an ablation.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first pictures.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Mean average precision of a model on annotated pictures: full, seen and unseen interactions.

    Example: hoistream synth --seed 9001 --pictures 300 --out test && hoistream eval model --pictures test/pictures
    """
    from hoiclip.evaluation.models import evaluate_model
    from stream.commands.support.progress import Counters
    from stream.run.config import EngineConfig
    from stream.run.engines import engine_pool
    from stream.run.models import open_model

    loaded = open_model(model)
    with engine_pool(loaded, EngineConfig()) as engines, Counters() as counters:
        result = evaluate_model(
            loaded, loaded.look(engines.infer), pictures, enhancement=enhancement,
            verb_classifier=verb_classifier, limit=limit,
            progress=lambda done, total: counters.update("pictures", done, total),
        )  # fmt: skip
    about = {"model": loaded.fingerprint, "enhancement": enhancement, "verb_classifier": verb_classifier}
    print_measures(result.summary() | about, result.per_class() if as_json else None, as_json)

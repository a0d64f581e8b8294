"""What a training configuration may say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hoiclip.training.augment import Augmentation
from hoiclip.training.picture_training import PictureRecipe
from hoiclip.training.stage import StageSettings
from hoiclip.training.world.recipe import WorldRecipe
from hoiclip.yaml_lines import load_config


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageConfig(_Strict):
    """One stage; a rate of 0 steps skips it."""

    steps: int = Field(ge=0)
    lr: float = Field(gt=0)
    warm_up: int = Field(50, ge=0, description="Steps of linear warm-up.")
    average: float = Field(0.0, ge=0, lt=1, description="Decay of averaged weights; 0 keeps none.")
    bfloat16: bool = Field(True, description="Mixed precision.")
    checkpoint_every: int = Field(500, ge=1)

    def settings(self) -> StageSettings:
        """Return what the loop takes."""
        return StageSettings(
            self.steps,
            self.lr,
            warm_up=self.warm_up,
            average=self.average,
            bfloat16=self.bfloat16,
            checkpoint_every=self.checkpoint_every,
        )


class WorldData(_Strict):
    """Pictures of the procedural world, drawn once into `directory`."""

    directory: Path
    pictures: int = Field(40000, ge=1)
    clip_frames: int = Field(0, ge=0, description="Frames of clips, 16 of each, beside the single pictures.")
    share: float = Field(1.0, gt=0, le=1, description="Use only this share of the pictures.")
    first_seed: int = Field(0, ge=0)
    workers: int = Field(2, ge=1)


class TrainConfig(_Strict):
    """`hoistream train FILE`: the demonstration model, from scratch, in six stages."""

    data: WorldData
    out: Path = Field(description="Folder for checkpoints and the finished model.")
    tensorboard: Path | None = Field(None, description="Folder for TensorBoard.")
    seed: int = 1
    batch_size: int = Field(16, ge=1)
    clip_batch: int = Field(64, ge=2, description="Views a step of the stage `clip`.")
    cached_pictures: int = Field(20000, ge=1, description="Pictures whose memory is kept while the queries learn.")
    words: StageConfig
    clip: StageConfig
    coarse: StageConfig
    fine: StageConfig
    queries: StageConfig
    whole: StageConfig

    def recipe(self) -> WorldRecipe:
        """Return the stages' settings."""
        return WorldRecipe(
            seed=self.seed,
            words=self.words.settings(),
            clip=self.clip.settings(),
            clip_batch=self.clip_batch,
            coarse=self.coarse.settings(),
            fine=self.fine.settings(),
            queries=self.queries.settings(),
            cached_pictures=self.cached_pictures,
            whole=self.whole.settings(),
            batch_size=self.batch_size,
        )


class PictureFilesConfig(_Strict):
    """Annotated pictures in HICO-DET's form."""

    kind: Literal["pictures"]
    vocabulary: Literal["hico", "vcoco", "world"]
    annotations: Path = Field(description="JSON list, as published for HICO-DET and V-COCO.")
    pictures: Path = Field(description="Folder of the picture files.")
    share: float = Field(1.0, gt=0, le=1, description="Use only this share of the pictures.")
    held_out: str | None = Field(None, description="Zero-shot split whose interactions are never shown.")


class AugmentConfig(_Strict):
    """Mirror, colours, crop and scale; sizes in pixels."""

    scales: tuple[int, ...] = Field(tuple(range(480, 801, 32)), min_length=1)
    longest: int = Field(1333, ge=32)
    before_crop: tuple[int, ...] = (400, 500, 600)
    crop: tuple[int, int] = (384, 600)
    colour: float = Field(0.4, ge=0, lt=1)


class ModelStart(_Strict):
    """What training starts from."""

    layout: Literal["hoiclip_r50_hico", "hoiclip_r50_vcoco", "tiny"] | None = Field(
        None, description="Build this model anew; give `clip` as well, or its text rows mean nothing."
    )
    init: Path | None = Field(
        None, description="Continue from a hoistream model file, its trained rows included (`hoistream verbs`)."
    )
    clip: Path | None = Field(None, description="open_clip's state dict of the CLIP towers (torch or safetensors).")
    detector: Path | None = Field(None, description="DETR weights from `hoistream convert --detr`.")

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if (self.layout is None) == (self.init is None):
            raise ValueError("give either `layout` or `init`")
        return self


class PictureTrainConfig(_Strict):
    """`hoistream train FILE` with ``data.kind: pictures``: HOICLIP's own training, end to end."""

    data: PictureFilesConfig
    model: ModelStart
    out: Path = Field(description="Folder for checkpoints and the finished model.")
    seed: int = 1
    steps: int = Field(ge=1)
    drop_at: float = Field(2 / 3, gt=0, le=1, description="From this share of the steps on the rate is a tenth.")
    batch_size: int = Field(16, ge=1, description="Pictures a step, over all processes.")
    accumulate: int = Field(1, ge=1, description="Parts that each process cuts its share of a step into.")
    lr: float = Field(1e-4, gt=0)
    backbone_lr: float = Field(1e-5, gt=0)
    warm_up: int = Field(0, ge=0)
    clip_norm: float = Field(0.1, gt=0)
    bfloat16: bool = Field(False, description="Mixed precision.")
    checkpoint_every: int = Field(500, ge=1)
    workers: int = Field(4, ge=1, description="Threads that read and augment pictures.")
    verb_examples: int = Field(100, ge=0, description="Examples an interaction for the first verb rows.")
    augmentation: AugmentConfig = AugmentConfig()
    tensorboard: Path | None = Field(None, description="Folder for TensorBoard.")

    def recipe(self) -> PictureRecipe:
        """Return what the trainer takes."""
        stage = StageSettings(
            self.steps, self.lr, warm_up=self.warm_up, clip_norm=self.clip_norm, bfloat16=self.bfloat16,
            checkpoint_every=self.checkpoint_every, schedule="drop", drop_at=self.drop_at,
        )  # fmt: skip
        return PictureRecipe(
            stage=stage, seed=self.seed, batch_size=self.batch_size, accumulate=self.accumulate,
            backbone_lr=self.backbone_lr / self.lr, workers=self.workers, verb_examples=self.verb_examples,
            held_out=self.data.held_out, augmentation=Augmentation(**self.augmentation.model_dump()),
        )  # fmt: skip


def load_train_config(path: Path) -> TrainConfig | PictureTrainConfig:
    """Read a training configuration; ``data.kind`` says which. Raises InputError with the line of a mistake."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        document = None  # load_config says what is wrong
    data = document.get("data") if isinstance(document, dict) else None
    if isinstance(data, dict) and data.get("kind") == "pictures":
        return load_config(path, PictureTrainConfig)
    return load_config(path, TrainConfig)

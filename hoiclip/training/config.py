"""What a training configuration may say."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from hoiclip.training.stage import StageSettings
from hoiclip.training.world_recipe import WorldRecipe


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
    share: float = Field(1.0, gt=0, le=1, description="Use only this share of the pictures.")
    first_seed: int = Field(0, ge=0)
    workers: int = Field(2, ge=1)


class TrainConfig(_Strict):
    """`hoistream train FILE`: the demonstration model, from scratch, in five stages."""

    data: WorldData
    out: Path = Field(description="Folder for checkpoints and the finished model.")
    seed: int = 1
    batch_size: int = Field(16, ge=1)
    clip_batch: int = Field(64, ge=2)
    cached_pictures: int = Field(20000, ge=1, description="Pictures whose memory is kept while the queries learn.")
    clip: StageConfig
    coarse: StageConfig
    fine: StageConfig
    queries: StageConfig
    whole: StageConfig

    def recipe(self) -> WorldRecipe:
        """Return the stages' settings."""
        return WorldRecipe(
            seed=self.seed,
            clip=self.clip.settings(),
            clip_batch=self.clip_batch,
            coarse=self.coarse.settings(),
            fine=self.fine.settings(),
            queries=self.queries.settings(),
            cached_pictures=self.cached_pictures,
            whole=self.whole.settings(),
            batch_size=self.batch_size,
        )

"""How a backbone is fine-tuned: every hyperparameter, the presets, and the record of an epoch."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, ValidationError

from schemas.base import Frozen
from schemas.errors import UsageError


class FineTuning(Frozen):
    """Settings of one fine-tuning; the defaults are the thesis' (SPEC row 5).

    Batch size and which epoch is kept are not in the thesis: ours to choose. What is held out is
    not among the settings: it is the training's own split.
    """

    trained: Literal["all", "head"] = Field("all", description="all layers, or the new last one")
    input_size: int = Field(224, ge=32, description="pixels a side")
    epochs: int = Field(15, ge=1)
    batch_size: int = Field(64, ge=1, description="photos a step, over all devices together")
    optimizer: Literal["sgd", "adamw"] = "sgd"
    rate: float = Field(0.001, gt=0, description="learning rate at its highest")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD; AdamW has its own")
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    step_epochs: int = Field(7, ge=1, description="epochs between two falls of the rate")
    step_factor: float = Field(0.1, gt=0, le=1, description="what the rate is multiplied by")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs in which the rate rises from 0")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    crop_share: float = Field(
        1.0, gt=0, le=1, description="least share kept by random crops; 1: none"
    )
    flip: bool = Field(False, description="mirror half of the photos")
    colour: float = Field(0.0, ge=0, lt=1, description="largest change of brightness, contrast")
    precision: Literal["fp32", "bf16", "auto"] = Field("fp32", description="auto: bf16 on a GPU")
    kept: Literal["best", "last"] = Field("best", description="epoch kept: least held-out loss")

    @property
    def augments(self) -> bool:
        """Whether a photo looks different in every epoch."""
        return self.crop_share < 1 or self.flip or self.colour > 0


PRESETS: dict[str, FineTuning] = {
    "thesis": FineTuning(),
    "modern": FineTuning(
        optimizer="adamw",
        rate=3e-4,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1.0,
        label_smoothing=0.1,
        crop_share=0.35,
        flip=True,
        colour=0.2,
        precision="auto",
    ),
    "frozen": FineTuning(trained="head", optimizer="adamw", schedule="cosine"),
}
"""``frozen`` trains the last layer alone, on cached vectors: seconds instead of minutes."""


class EpochCurve(Frozen):
    """One point of the training curves; precision is the share of photos whose top class is right.

    The held-out figures are None where nothing could be held out. ``lr`` is the last step's.
    """

    epoch: int
    epochs: int
    train_loss: float
    valid_loss: float | None
    train_precision: float
    valid_precision: float | None
    lr: float


def parse_finetuning(preset: str, changes: Sequence[str] = ()) -> FineTuning:
    """Return a preset's settings with some changed, each given as ``name=value``.

    Raises:
        UsageError: there is no such preset or setting, or a value is impossible.
    """
    if preset not in PRESETS:
        raise UsageError(f"No preset {preset!r} for fine-tuning: use {', '.join(PRESETS)}.")
    values: dict[str, object] = PRESETS[preset].model_dump()
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign or name.strip() not in values:
            raise UsageError(
                f"{change!r} changes nothing: write name=value, with one of {', '.join(values)}."
            )
        values[name.strip()] = value.strip()
    try:
        return FineTuning.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise UsageError(f"Fine-tuning cannot be done like that: {wrong}.") from error

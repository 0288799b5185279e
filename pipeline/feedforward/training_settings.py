"""What a training is told. No torch: mistakes in it are found before torch is loaded."""

from __future__ import annotations

from typing import final

from pipeline.config.networks import TrainingOptions


@final
class TrainingSettings(TrainingOptions):
    """Everything that a network's weights depend on besides styles, photographs and loss network.

    Attributes:
        style_layers: Where styles are compared, of the authors' choice.
        content_layer: Where content is.
    """

    style_layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    content_layer: str = "relu3_3"

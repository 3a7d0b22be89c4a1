"""What a face expresses: probabilities over the labels of the model's card."""

from __future__ import annotations

import numpy as np

from manyfaces.card import InputSpec, ModelCard
from manyfaces.heads.batches import in_batches
from manyfaces.runtime import BATCH, Network
from manyfaces.types import Crops, Emotions

OUTPUT = "probabilities"


class EmotionHead:
    """A `Head[Emotions]` over any emotion network of ours."""

    def __init__(self, network: Network, card: ModelCard, batch: int = BATCH) -> None:
        self._network = network
        self._batch = batch
        self._card = card

    @property
    def spec(self) -> InputSpec:
        return self._card.input

    def __call__(self, crops: Crops, /) -> Emotions:
        probabilities = in_batches(self._network, crops.pixels, OUTPUT, len(self._card.labels), self._batch)
        return Emotions(np.clip(probabilities, 0, 1), self._card.labels)

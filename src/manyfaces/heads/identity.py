"""Whose face it is, as a unit vector: faces of one person point the same way."""

from __future__ import annotations

import numpy as np

from manyfaces.card import InputSpec
from manyfaces.heads.batches import in_batches
from manyfaces.runtime import BATCH, Network
from manyfaces.types import Crops, Embeddings

OUTPUT = "fc1"
LENGTH = 128


class IdentityHead:
    """A `Head[Embeddings]` over SFace; `model` names the very weights, so that only equal ones are compared."""

    def __init__(self, network: Network, spec: InputSpec, model: str, batch: int = BATCH) -> None:
        self._network = network
        self._batch = batch
        self._spec = spec
        self._model = model

    @property
    def spec(self) -> InputSpec:
        return self._spec

    def __call__(self, crops: Crops, /) -> Embeddings:
        vectors = in_batches(self._network, crops.pixels, OUTPUT, LENGTH, self._batch)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return Embeddings(vectors / np.maximum(lengths, 1e-9), self._model)

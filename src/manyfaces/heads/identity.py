"""Whose face it is, as a unit vector: faces of one person point the same way."""

from __future__ import annotations

import numpy as np

from manyfaces.card import InputSpec
from manyfaces.errors import WeightsError
from manyfaces.heads.batches import in_batches
from manyfaces.runtime import BATCH, Network
from manyfaces.types import Crops, Embeddings, Floats


class IdentityHead:
    """A `Head[Embeddings]` over any network that gives one vector a face, whatever it calls it; `model` names the very
    weights, so that only equal ones are compared."""

    def __init__(self, network: Network, spec: InputSpec, model: str, batch: int = BATCH) -> None:
        self._network = network
        self._batch = batch
        self._spec = spec
        self._model = model
        self._output, self._length = _vector_of(network, spec, model)

    @property
    def spec(self) -> InputSpec:
        return self._spec

    def __call__(self, crops: Crops, /) -> Embeddings:
        vectors = in_batches(self._network, crops.pixels, self._output, self._length, self._batch)
        return Embeddings(_of_unit_length(vectors), self._model)


def _vector_of(network: Network, spec: InputSpec, model: str) -> tuple[str, int]:
    """The name and the length of what the network says of a black face."""
    said = network(np.zeros((1, spec.height, spec.width, spec.depth), np.uint8))
    vectors = {name: value for name, value in said.items() if value.ndim == 2}
    if len(vectors) != 1:
        raise WeightsError(f"{model}: this network gives {len(vectors)} vectors a face, and it takes one; export it so")
    ((name, value),) = vectors.items()
    return name, value.shape[1]


def _of_unit_length(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
    return unit

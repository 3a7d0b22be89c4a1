"""The TextCNN: four convolutions side by side, each over another number of neighbouring tokens (Kim 2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (1, 3, 5, 7)
POOL = 32
"""Over a length of 50 the pooling has room for one window, which ends after token 32: what comes later is read only as
far as a convolution reaches back. So it is in the tutorials; sentences here are shorter."""


WORDS = 512
"""Room for as many tokens, whatever a vocabulary holds: so the network is built without asking for it."""

CLASSES = 4


class TextCNN(nn.Module):
    """Token ids (n, 50) int32 in, probabilities (n, classes) out."""

    def __init__(
        self, words: int = WORDS, classes: int = CLASSES, depth: int = 32, filters: int = 32, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, depth, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(depth, filters, width, padding=width // 2) for width in WIDTHS)
        self.pool = nn.MaxPool1d(POOL)
        self.dropout = nn.Dropout(dropout)
        self.answer = nn.Linear(filters * len(WIDTHS), classes)

    def forward(self, ids: Tensor) -> Tensor:
        return torch.softmax(self.logits(ids), dim=1)

    def logits(self, ids: Tensor) -> Tensor:
        vectors = self.embedding(ids).transpose(1, 2)
        seen = [self.pool(torch.relu(convolve(vectors))) for convolve in self.convolutions]
        answer: Tensor = self.answer(self.dropout(torch.cat(seen, dim=1).flatten(1)))
        return answer

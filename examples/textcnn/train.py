"""Draws sentences, trains the TextCNN on them, and leaves what `manyfaces optimize` takes.

python train.py --task repair --out runs/repair        (ten seconds on one core)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from network import WORDS, TextCNN
from sentences import TASKS, Sentence, labels, sentences
from tokens import PADDING, UNKNOWN, encoded, vocabulary
from torch import Tensor, nn


def main() -> None:
    asked = _asked()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(1)  # batches are so small that a second thread waits more than it works
    asked.out.mkdir(parents=True, exist_ok=True)
    drawn = list(sentences(asked.task, asked.count, asked.seed))
    known = vocabulary((one.text for one in drawn if not one.held_out), WORDS)
    learnt, tested = (arrays([one for one in drawn if one.held_out == part], known) for part in (False, True))
    network = TextCNN()
    train(network, learnt, asked.epochs)
    print(f"{len(learnt[0])} sentences learnt, {len(tested[0])} of other templates tested, {len(known)} tokens known")
    print(f"accuracy: {accuracy(network, learnt):.1%} of those learnt, {accuracy(network, tested):.1%} of those tested")
    save(asked.out, network, asked.task, known, tested)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="repair")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500, help="sentences of each class, language and part")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def arrays(these: Sequence[Sentence], known: Sequence[str]) -> tuple[Tensor, Tensor]:
    ids = encoded([one.text for one in these], known)
    return torch.from_numpy(ids), torch.tensor([one.label for one in these])


def train(network: TextCNN, learnt: tuple[Tensor, Tensor], epochs: int, batch: int = 64) -> None:
    steps = torch.optim.Adam(network.parameters(), lr=2e-3)
    count_loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    network.train()
    for _ in range(epochs):
        for some in torch.randperm(len(learnt[0])).split(batch):
            loss = count_loss(network.logits(forgetful(learnt[0][some])), learnt[1][some])
            steps.zero_grad()
            loss.backward()
            steps.step()
    network.eval()


def forgetful(ids: Tensor) -> Tensor:
    """Every seventh token unknown: no class may hang on a single word, for the next sentence lacks it."""
    return ids.masked_fill((torch.rand(ids.shape) < 0.15) & (ids != PADDING), UNKNOWN)


def accuracy(network: TextCNN, asked: tuple[Tensor, Tensor]) -> float:
    with torch.inference_mode():
        return float((network(asked[0]).argmax(1) == asked[1]).float().mean())


def save(out: Path, network: TextCNN, task: str, known: Sequence[str], tested: tuple[Tensor, Tensor]) -> None:
    """The weights, and the network as an exported program too, which needs none of this code to be read; its words
    and classes; and sentences to calibrate and to judge with."""
    free = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(network, (tested[0][:2],), dynamic_shapes=free)
    torch.export.save(program, out / "textcnn.pt2")
    torch.save(network.state_dict(), out / "weights.pt")
    for name, content in (("vocabulary", list(known)), ("labels", labels(task))):
        (out / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    np.savez_compressed(out / "tested.npz", ids=tested[0].numpy(), labels=tested[1].numpy())


if __name__ == "__main__":
    main()

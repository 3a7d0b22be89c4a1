"""The tutorials' hand-made network with their own training: Adam, batches of 256, up to 300 epochs, the rate cut where
nothing improves, early stopping, their augmentation, labels as they are.

Their L2 penalty of 0.01 on every convolution is a weight decay of 0.02 in Adam's gradient, and so it is written here.
"""

from manyfaces.train.augment import Augmentation
from manyfaces.train.designs import MiniXception
from manyfaces.train.plan import Plan
from manyfaces.train.recipe import Recipe, Targets

RECIPE = Recipe(
    design=MiniXception(),
    plan=Plan(
        epochs=300,
        batch=256,
        method="adam",
        schedule="plateau",
        rate=1e-3,
        warmup=0.0,
        plateau=10,
        patience=25,
        weight_decay=0.02,
        average=0.0,
    ),
    augmentation=Augmentation(
        rotation=10,
        shift=0.1,
        zoom=0.1,
        coarse_chance=0,
        noise_chance=0,
        brightness=0,
        contrast=0,
        erase_chance=0,
    ),
    targets=Targets(smoothing=0.0, votes=0.0),
)

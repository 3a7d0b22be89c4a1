"""A light head on the pretrained vectors, for people whom the pretrained network knows badly.

It begins as nothing, goes as far as the people ask for, and is held near the similarities it had: what it unlearns of
strangers would be paid for by false names. Whether it is kept at all is decided on who or what it has not seen.
"""

from dataclasses import replace

from manyfaces.train.augment import Augmentation
from manyfaces.train.identity.designs import Bend
from manyfaces.train.identity.goals import Goal
from manyfaces.train.identity.recipe import IdentityRecipe
from manyfaces.train.identity.views import Views
from manyfaces.train.plan import Plan

RECIPE = IdentityRecipe(
    design=Bend(),
    plan=Plan(epochs=30, batch=64, method="adam", rate=1e-3, warmup=1.0, cooling=0.5, weight_decay=0.0, average=0.98),
    views=Views(
        change=Augmentation(rotation=5, shift=0.02, zoom=0.05, erase_chance=0.5, erase_side=0.5),
        each=8,
        tint=0.1,
        blur_chance=0.2,
    ),
    goal=Goal(kind="subcentre", margin=15.0, scale=24.0, centres=3, photos=4, keep=10.0),
)
TRIPLET = replace(RECIPE, goal=Goal(kind="triplet", margin=0.3, photos=4, keep=10.0))
ARCFACE = replace(RECIPE, goal=replace(RECIPE.goal, kind="arcface"))

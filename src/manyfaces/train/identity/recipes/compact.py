"""A small network for people of one's own, from nothing: what a hundred photos give without any network of others.

So few photos are learnt by heart at once, so every picture is seen differently every time: turned, shifted, mirrored,
coarse, blurred, noisy, relit, tinted, partly hidden. Batches hold the same number of photos of each of some people.
"""

from manyfaces.train.augment import Augmentation
from manyfaces.train.identity.designs import Faces
from manyfaces.train.identity.goals import Goal
from manyfaces.train.identity.recipe import IdentityRecipe
from manyfaces.train.identity.views import Views
from manyfaces.train.plan import Plan

RECIPE = IdentityRecipe(
    design=Faces(),
    plan=Plan(epochs=30, batch=40, method="adam", rate=1e-3, warmup=1.0, cooling=0.7, weight_decay=1e-4, average=0.99),
    views=Views(
        change=Augmentation(rotation=10, shift=0.05, zoom=0.1, erase_chance=0.7, erase_side=0.5),
        each=5,
        tint=0.2,
        grey_chance=0.2,
        blur_chance=0.2,
    ),
    goal=Goal(kind="triplet", margin=0.3, photos=8),
)
"""A pretrained network knows far more (see docs/people.md); this one is nobody else's."""

"""The tutorials' network with their own training: thirteen convolutions as in VGG16, one dense layer of 128, Adam at
0.001, batches of 32 pictures as they come, semi-hard triplets at the margin of 1 that TensorFlow's loss has, and five
variants of every photo, drawn once: each picture with the mean 0 and the spread 1, turned by up to 20 degrees, shifted
by up to a fifth, mirrored.

Two things are ours, since two cores must do it from random weights. Pictures are 56 pixels wide, not 224, which is a
sixteenth of the work; of aligned faces they show as much. And weights begin with the spread that such layers
keep (He et al. 2015): as Keras draws them, all faces come out as one vector, and no triplet says which way to go.
"""

from dataclasses import replace

from manyfaces.train.identity.designs import Vgg
from manyfaces.train.identity.goals import Goal
from manyfaces.train.identity.recipe import IdentityRecipe
from manyfaces.train.identity.views import AS_IT_IS, Views
from manyfaces.train.plan import Plan

RECIPE = IdentityRecipe(
    design=Vgg(),
    plan=Plan(
        epochs=20,
        batch=32,
        method="adam",
        rate=1e-3,
        warmup=0.0,
        cooling=0.0,
        weight_decay=0.0,
        average=0.0,
    ),
    views=Views(change=replace(AS_IT_IS, rotation=20, shift=0.2, mirror=True), each=5, once=True),
    goal=Goal(kind="triplet", margin=1.0, photos=0),
)

PLAIN = replace(RECIPE, views=replace(RECIPE.views, change=AS_IT_IS))
"""The same number of steps over the photos as they are: what the variants are worth."""

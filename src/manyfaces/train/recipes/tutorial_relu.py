"""The tutorial recipe with the ReLU on the logits that its authors left in, to measure what that mistake costs."""

from dataclasses import replace

from manyfaces.train.designs import MiniXception
from manyfaces.train.recipes import tutorial

RECIPE = replace(tutorial.RECIPE, design=MiniXception(clipped=True))

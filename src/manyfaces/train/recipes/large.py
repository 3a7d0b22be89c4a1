"""As strong as the data allows, for ensembles and as a teacher: five times the parameters, channels that weigh each
other, half the batches mixed, and a schedule long enough to use them. On two cores it takes a night."""

from manyfaces.train.designs import Residual
from manyfaces.train.plan import Plan
from manyfaces.train.recipe import Recipe, Targets

RECIPE = Recipe(
    design=Residual(stem=48, widths=(96, 192, 320), depths=(1, 2, 2), squeeze=True, dropout=0.3),
    plan=Plan(epochs=200, average=0.999),
    targets=Targets(smoothing=0.1, votes=0.5, mixed=0.5),
    small_until=0.6,
)

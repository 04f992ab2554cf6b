"""Training one fold's network: recipe, samples, augmentation, the lightning module, a run that can be resumed.

In: photos with labels, a recipe. Out: weights, and the curve of the run.
Imports `adapters`, `heads`, `layers`, `photos` and `weights`.
"""

from backbones.training.augment import Augment
from backbones.training.recipe import Recipe, recipe_from

__all__ = ["Augment", "Recipe", "recipe_from"]

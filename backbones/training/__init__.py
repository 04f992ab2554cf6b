"""Training one fold's network: recipe, samples, augmentation, the lightning module, a run that can be resumed."""

from backbones.training.augment import Augment
from backbones.training.recipe import Recipe, recipe_from

__all__ = ["Augment", "Recipe", "recipe_from"]

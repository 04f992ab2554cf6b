"""The heads of a training run: for individuals, for species where there are several, for local features where asked."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from backbones.adapters.contract import Backbone
from backbones.adapters.stride_map import StrideMap
from backbones.heads import HeadRecipe, build_head
from backbones.layers import DelgTraining
from backbones.training.recipe import Recipe
from cv.errors import FinblendError

LOCAL = "local"


def heads_for(backbone: Backbone, recipe: Recipe, individuals: np.ndarray, species: np.ndarray) -> dict[str, nn.Module]:
    """Build the heads, drawn from the recipe's seed.

    Parameters
    ----------
    backbone : Backbone
    recipe : Recipe
    individuals, species : (n_classes,) int arrays
        Training photos of each class; a fold may lack a species.
    """
    width = _width(backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        heads: dict[str, nn.Module] = {"individuals": build_head(recipe.head, width, individuals)}
        if len(species) > 1 and recipe.species_weight:
            plain = HeadRecipe(sub_centers=1, scale=recipe.head.scale, margin=recipe.head.margin)
            heads["species"] = build_head(plain, width, species)
        if recipe.local:
            # last: whether it is there changes no other draw
            heads[LOCAL] = DelgTraining(StrideMap.of(backbone).channels, len(individuals))
    return heads


def _width(backbone: Backbone) -> int:
    """D, from one blank photo."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        try:
            embedded = backbone.network.eval()(torch.zeros(1, 3, backbone.height, backbone.width))
        except (RuntimeError, TypeError, AssertionError) as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise FinblendError(
                f"the network does not run on photos of {backbone.height}x{backbone.width} ({reason})"
            ) from None
    if embedded.ndim != 2:
        raise FinblendError(f"a backbone must map photos to (B, D), but gave {list(embedded.shape)}")
    return int(embedded.shape[1])

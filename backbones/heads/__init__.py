"""Training heads: from embeddings and labels to a loss; importing this package imports torch.

In: embeddings (n, d) and labels. Out: logits and a loss, and what a recipe of them says.
Imports `layers`.
"""

from backbones.heads.arcface import MarginHead
from backbones.heads.build import Head, HeadRecipe, build_head
from backbones.heads.library import LibraryHead
from backbones.heads.margins import margins_by_count

__all__ = ["Head", "HeadRecipe", "LibraryHead", "MarginHead", "build_head", "margins_by_count"]

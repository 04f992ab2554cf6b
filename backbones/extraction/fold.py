"""Fold batch normalisation into the convolution before it: the same network, with a third less to do."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# folding only changes the order of roundings; a network that it breaks is far below
SAME = 0.99999


def folded(network: nn.Module, embed: Callable[[nn.Module], Tensor]) -> nn.Module | None:
    """Fold what can be folded; None where nothing can, or where the result is another network.

    A batch norm that follows a convolution in its module's order usually follows it in the computation, too, but no
    rule says so: therefore the result is compared on real photos.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; stays as it is.
    embed : callable
        Embeds some photos with a network: (..., D).
    """
    exact = embed(network)
    try:
        candidate = copy.deepcopy(network)
        if not _fold_children(candidate):
            return None
        cosine = torch.nn.functional.cosine_similarity(exact, embed(candidate), dim=-1)
    except Exception:  # a network that reaches into the folded modules, or whose weights are computed, fails in any way
        return None
    return candidate if bool((cosine >= SAME).all()) else None


def _fold_children(module: nn.Module) -> int:
    count = 0
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if before is not None and _fits(before[1], child):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))  # type: ignore[type-var, arg-type]
            # timm's batch norms carry their activation with them
            rest = [
                getattr(child, part) for part in ("drop", "act") if isinstance(getattr(child, part, None), nn.Module)
            ]
            setattr(module, name, nn.Sequential(*rest) if rest else nn.Identity())
            count += 1
        else:
            count += _fold_children(child)
        before = name, getattr(module, name)
    return count


def _fits(convolution: nn.Module, norm: nn.Module) -> bool:
    return (
        type(norm).__name__ in ("BatchNorm2d", "BatchNormAct2d")
        and isinstance(norm, nn.BatchNorm2d)
        and norm.track_running_stats
        and isinstance(convolution, nn.Conv2d)
        and convolution.out_channels == norm.num_features
    )

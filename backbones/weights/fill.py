"""Fill a network with weights: whole, or its body; whatever does not fit is named."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.contract import Backbone
from backbones.vision import load
from backbones.weights.lite import is_lite, timm_names
from backbones.weights.published import fetch, quiet_hub, terms_of_published, terms_of_timm
from backbones.weights.saved import Origin, file_of, read_origin, read_state
from cv.errors import FinblendError, shown
from cv.files import sha256_of

HUB = "hub"
RANDOM = "random"
# where the weights of a network without parameters are
OWN_FILE = "its own file"


@dataclass(frozen=True)
class Filled:
    """What a network was filled with.

    Attributes
    ----------
    sha256 : str
        Of the file, or of the network's state where there is none.
    source : str
        The file, "hub" or "random".
    origin : Origin or None
        What a network that finblend trained says of itself.
    untrained : list of str
        Parts of the network that are still as they were drawn.
    terms : str
        What the weights may be used for, where that is not anything, and where somebody else than finblend made them.
    """

    sha256: str
    source: str
    origin: Origin | None = None
    untrained: tuple[str, ...] = ()
    terms: str = ""


def fill(backbone: Backbone, weights: str) -> Filled:
    """Load weights into a network in place.

    Parameters
    ----------
    backbone : Backbone
    weights : str
        A file, a folder of a finblend training run, a copy of a repository of the hub, "hub" for those that were
        published under the network's name, or else timm's own, or "random" to leave them as drawn.

    Raises
    ------
    FinblendError
        If the file does not fit; a few of the keys are named.
    """
    network = backbone.network
    if not any(True for _ in network.parameters()):
        if weights not in (HUB, RANDOM):
            raise FinblendError(f"--weights {weights}: this network's weights are in its own file")
        return Filled(_hash_of_state(network), OWN_FILE)
    if weights == RANDOM:
        return Filled(_hash_of_state(network), RANDOM, untrained=_beside(network, None))
    published = backbone.published
    if weights == HUB and published is None:
        _from_hub(backbone.body_module)
        untrained = _beside(network, backbone.body)
        return Filled(_hash_of_state(network), HUB, untrained=untrained, terms=terms_of_timm(backbone))
    path = file_of(fetch(published) if weights == HUB and published is not None else Path(weights))
    state, origin = read_state(path)
    sha256 = sha256_of(path)
    if published is not None and origin is None:
        state = published.own_names(state)
    whole, body = network.state_dict(), backbone.body_module.state_dict()
    # a checkpoint of the body alone has few of the wrapped names, one of the whole network has nearly all of them
    if not backbone.body or len(whole.keys() & state.keys()) > len(whole) // 2:
        _load(network, whole, state, weights)
        told = terms_of_timm(backbone) if published is None else terms_of_published(published)
        return Filled(sha256, weights, origin, terms="" if origin is not None else told)
    _load(backbone.body_module, body, state, weights)
    return Filled(sha256, weights, origin, _beside(network, backbone.body), terms_of_timm(backbone))


def origin_of(weights: str) -> Origin | None:
    """What weights say of themselves, where finblend trained them."""
    return None if weights in (HUB, RANDOM) else read_origin(Path(weights))


def _load(part: nn.Module, wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], weights: str) -> None:
    state = _converted(part, state, wanted)
    classifier = _classifier(part)
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    surplus = [name for name in state if name not in wanted and not name.startswith(classifier)]
    shapes = [
        f"{name} {list(state[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    faults = [
        f"{what} {shown(names, 3)}"
        for what, names in (("lacks", missing), ("has in surplus", surplus), ("has in another shape", shapes))
        if names
    ]
    if faults:
        raise FinblendError(f"--weights {weights}: does not fit this network: it {'; '.join(faults)}")
    fitting = {name: state[name] for name in wanted if name in state}
    broken = [name for name, tensor in fitting.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        raise FinblendError(f"--weights {weights}: {shown(broken, 3)}: holds NaN or infinite values")
    part.load_state_dict(fitting, strict=False)


def _converted(part: nn.Module, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate other names of the same network: timm knows those of its own sources."""
    if is_lite(state):
        return timm_names(state, wanted)
    convert = _filter_of(part)
    # positions that were learned for another size have the right name, and are resampled
    fits = all(name in state and state[name].shape == tensor.shape for name, tensor in wanted.items())
    if convert is None or fits:
        return dict(state)
    try:
        with warnings.catch_warnings():
            # timm's resampling has torch warn of its own ways with indices
            warnings.simplefilter("ignore", UserWarning)
            return dict(convert(dict(state), part))
    except Exception:  # a stranger's state dict breaks it in any way; the keys are then named as they are
        return dict(state)


def _filter_of(part: nn.Module) -> Any:
    """How timm adapts a checkpoint to a network, where it has to."""
    return getattr(sys.modules.get(type(part).__module__), "checkpoint_filter_fn", None)


def _classifier(part: nn.Module) -> tuple[str, ...]:
    facts: Any = getattr(part, "pretrained_cfg", None) or {}
    names = facts.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _from_hub(body: nn.Module) -> None:
    if not getattr(body, "pretrained_cfg", None):
        raise FinblendError("--weights hub: this network has no weights on timm's hub; give --weights FILE")
    timm = load("timm")
    facts: Any = body.pretrained_cfg
    name = f"{facts['architecture']}.{facts.get('tag') or ''}".rstrip(".")
    lacking: list[str] = []
    hook = body.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
        lambda _, keys: lacking.extend(keys.missing_keys)
    )
    try:
        with quiet_hub():
            timm.models.load_pretrained(body, num_classes=0, strict=False, filter_fn=_filter_of(body))
    except Exception as error:  # the hub's client, the network and timm each have errors of their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FinblendError(
            f"--weights hub: the weights of {name} could not be fetched ({reason}); give --weights FILE, or 'random'"
        ) from None
    finally:
        hook.remove()
    lacking = [key for key in lacking if not key.endswith("num_batches_tracked")]
    if lacking:
        raise FinblendError(
            f"--weights hub: the weights of {name} do not fit this network: they lack {shown(lacking, 3)}"
        )


def _beside(network: nn.Module, body: str | None) -> tuple[str, ...]:
    """Parts beside the body (all of them without one) that have weights of their own."""
    if body == "":
        return ()
    names = [name for name, _ in network.named_parameters() if body is None or not name.startswith(f"{body}.")]
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


def _hash_of_state(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

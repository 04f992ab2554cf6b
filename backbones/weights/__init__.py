"""Weights: files, finblend's own training runs, timm's hub.

In: a file, a run folder, or a name of the hub. Out: a state dict that fits the network, never unpickled.
Imports `adapters`.
"""

from backbones.weights.fill import HUB, RANDOM, Filled, fill, origin_of
from backbones.weights.saved import Origin, label_marks, read_state, save_network

__all__ = ["HUB", "RANDOM", "Filled", "Origin", "fill", "label_marks", "origin_of", "read_state", "save_network"]

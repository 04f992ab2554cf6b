"""Photos to stores: embedding with a network, and training one fold by fold.

In: folders of photos, boxes, a network's name or recipe. Out: stores, registered.
Imports `registry` and `project`.
"""

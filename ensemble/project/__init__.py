"""The project folder: made, opened, its cache, what may be written beside it, how long work tells how far it is.

In: tables of photos. Out: `Project`, and files written beside and renamed.
Imports nothing of `ensemble`; every other room may import it.
"""

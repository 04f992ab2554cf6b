"""Where work runs that falls apart by itself: in this process, or in worker processes of one machine or many.

In: a function and what it is to be called with, one by one. Out: what it returned, in order.
Imports `project` alone; ray where it is used.
"""

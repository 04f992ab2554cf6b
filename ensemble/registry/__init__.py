"""What the project knows of its models: stores of embeddings, and what a head predicted beside them.

In: embeddings in any layout people have. Out: `Model`, with the space that may speak for a fold or for test.
Imports `project`.
"""

"""What embeddings may go through before they are compared: whitening.

In: a gallery's embeddings and labels. Out: a map that embeddings of queries and gallery go through.
Imports no other room.
"""

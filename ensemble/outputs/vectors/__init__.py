"""Where a blend's vectors can be written: npz, Parquet, PostgreSQL with pgvector, Qdrant; each a `VectorSink`.

In: spaces of a blend, of which every block of vectors is computed when it is asked for.
Out: files, tables or collections, all of them or none.
Imports `registry` and what stands below it; the clients of servers are imported where they are used.
"""

"""The sections of the report: what each tells, as plain data.

In: a `State`. Out: a `Section` of tables, charts and photos.
Imports `charts` and `page`.
"""

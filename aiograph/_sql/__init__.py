"""The narrow seam to databases: statements as values, and sessions that carry them out.

- `session`: the verbs, the same for every database
- `sqlite`: a SQLite file and the thread that owns it
- `migrate`: numbered migrations
"""

"""The narrow seam to databases: statements as values, and sessions that carry them out.

- `session`: the verbs, the same for every database
- `sqlite`: a SQLite database; `sqlite_owner` is the thread that carries out what is asked,
  `sqlite_connection` knows how a file is opened and what its errors mean
- `postgres`: a PostgreSQL database and the loop that owns its connections; `queues` has what waits,
  `dispatch` deals it out, `supply` brings connections, `line` is one that is held, `exchange` and `pipeline`
  know what goes over it, `prepared` what the server remembers, `watch` looks after what takes long,
  `sqlstate` knows what errors mean
- `operation`: the wait for what was asked
- `migrate`: numbered migrations
"""

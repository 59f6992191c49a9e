"""The typed configuration: model, loading, and problems with file and line; no I/O stands elsewhere."""

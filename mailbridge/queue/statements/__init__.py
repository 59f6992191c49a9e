"""What the SQL stores say to a database: synchronous functions over one connection, inside the caller's transaction."""

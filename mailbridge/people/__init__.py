"""Who is meant by a name, and when somebody is not to be woken."""

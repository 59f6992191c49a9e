"""When, how often and in what batches: claim, attempt, settle, retry, pace, breaker; parses no answer."""

"""The JSON API ``/api/v1``: described by the models that check it, asked with bearer tokens."""

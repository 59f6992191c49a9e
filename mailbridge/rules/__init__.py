"""Rules: what is done with which mail, decided from values alone."""

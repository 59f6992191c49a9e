"""What we promised: the store, its contract, its SQL and the in-memory twin; knows neither SMTP nor HTTP."""

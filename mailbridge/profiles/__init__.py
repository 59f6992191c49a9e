"""Device profiles: who wrote a mail, and what it says in one line. Data in ``data/``, one file for each device."""

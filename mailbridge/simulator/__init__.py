"""The SMSC look-alike for the demo, the tests and users rehearsing; nothing else imports it."""

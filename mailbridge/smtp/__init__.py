"""The door: SMTP and LMTP listeners on aiosmtpd; it takes mail in and answers, and delivers nothing."""

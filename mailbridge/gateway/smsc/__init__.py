"""The SMSC gateway: code tables, a pure codec, and an async client usable as a library."""

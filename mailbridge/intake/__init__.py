"""Bytes to messages, all pure: parse, html, address, route, compose, segments, folding; nothing here waits."""

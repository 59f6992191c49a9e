"""The desk: pages for people, made on the server. They are read without JavaScript; with it, lists are live."""

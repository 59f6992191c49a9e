"""Any carrier with an HTTP interface, described in the configuration (``type: http``)."""

"""Every method of the gateway as one typed client for programs; the bridge's own sending path does not load it."""

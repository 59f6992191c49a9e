"""One module for each script of the gateway: parameters in, an ``Answer`` out."""

"""Health, metrics and callbacks over HTTP; holds no logic the command line would need too."""

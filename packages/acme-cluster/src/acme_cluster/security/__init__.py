"""Keys and TLS settings of one cluster. This room imports nothing else of this package."""

"""Keys and TLS settings of one cluster. Imports nothing else of this package."""

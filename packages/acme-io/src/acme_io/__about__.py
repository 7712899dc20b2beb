"""The version of acme-io; read by the build and by `acme_io.__version__`."""

__version__ = "0.1.0"

"""Asking a model about queries that rules leave open: the gateway, when it is let alone, what is kept."""

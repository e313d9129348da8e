"""Which skill answers a request, with which arguments, and which a person has to decide."""

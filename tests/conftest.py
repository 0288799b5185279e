"""Lies here so that tests of every folder can import the helpers beside it, such as `networks`."""

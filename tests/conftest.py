"""Lies here so that tests of every folder can import the helpers beside it, such as `networks`."""

import os

# Before torch is imported. The tensors of tests are tiny: on a busy machine two threads that wait for one
# another take five times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

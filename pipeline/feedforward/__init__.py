"""The fast variant: networks that paint in one pass, their training, and their use at any size."""

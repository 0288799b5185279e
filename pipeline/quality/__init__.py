"""How good a result is, in figures: style, content, colours, seams, clipping. It judges and never changes."""

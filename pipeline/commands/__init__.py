"""One module per verb; each has `add_arguments(parser)` and `run(arguments)`."""

COMMANDS = {
    "fetch-weights": "fetch a model file, check it, and keep it as safetensors",
    "fetch-viewer": "fetch the script that shows the full image in the report",
    "make-demo": "make one of the demo collection's input images",
    "plan": "resolve an artwork's settings into levels, tiles, memory and files",
    "prepare": "decode an image once: orientation, colour profile, alpha, tiled TIFF",
    "segment": "find the person in a content image",
    "partition": "cut an image into its largest segments and what they leave",
    "combine": "combine masks into one",
    "guide": "make a level's guidance channels from masks",
    "recolour": "bring an image to a level's size and to the colours asked for",
    "calibrate": "measure a network's channel means on photographs, for the normalised network",
    "mix": "lay the fine structure of one style image over the large shapes of another",
    "targets": "compute the style statistics of an image",
    "stylise": "render the lowest level",
    "upsample": "enlarge a level's result as the start of the next",
    "refine": "render a higher level from the enlarged result of the one below",
    "train": "teach a network to paint photographs in one pass, each region in its own style",
    "apply": "paint an image of any size with a trained network",
    "assemble": "put colours and alpha back at full size",
    "measure": "measure how far an image is from a style, by region",
    "export-print": "write the print file in one format",
    "record": "write the record of how an artwork's files were made",
    "preview": "write the preview and the pictures for the report",
    "report": "write the report over the whole collection",
}
"""Every command with its one-line help, in the order of the pipeline's story."""

"""Writing safetensors files: whole or not at all, readable for all, and a full disk is what it is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from pipeline.files import atomic_path


def save_tensors(
    path: Path, tensors: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]
) -> None:
    """Writes contiguous tensors and texts to a safetensors file.

    Raises:
        OSError: It cannot be written; what was there before is still there.
    """
    with atomic_path(path) as partial:
        try:
            save_file(dict(tensors), partial, dict(metadata))
        except SafetensorError as error:
            # It names what the system refused in its words alone.
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        # safetensors writes for its owner alone; a group shares these files.
        partial.chmod(0o644)

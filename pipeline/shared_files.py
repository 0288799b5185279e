"""What artworks share, as files: where each lies by its key, what it is made from, and what its job is told.

Torch-free; a function of the plans.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from pipeline import photographs, viewer
from pipeline.collection import Collection
from pipeline.config.sections import Network
from pipeline.geometry import Size
from pipeline.mask_files import MaskFiles
from pipeline.network_files import NetworkFiles


@final
@dataclass(frozen=True)
class SharedFiles:
    """Paths, inputs and options of the jobs whose files artworks share.

    Attributes:
        collection: Its artworks' plans.
    """

    collection: Collection

    # -- where files lie --------------------------------------------------------------------------

    def prepared_file(self, key: str) -> str:
        """The prepared image of this key, or the part of one."""
        folder = "cropped" if key in self.collection.crops else "prepared"
        return f"{self.collection.results}/shared/{folder}/{key}.tif"

    def crop_record(self, key: str) -> str:
        """What was recorded of the part of a prepared image: where it lies."""
        return f"{self.collection.results}/shared/cropped/{key}.json"

    def image_file(self, key: str) -> str:
        """The image of this key at its level's size and colours, or the mixture."""
        folder = "mixed" if key in self.collection.mixes else "images"
        return f"{self.collection.results}/shared/{folder}/{key}.tif"

    @cached_property
    def masks(self) -> MaskFiles:
        """Where masks lie."""
        folder = f"{self.collection.results}/shared/masks"
        return MaskFiles(
            folder,
            self.collection.masks,
            self.collection.partitions,
            self.collection.combinations,
            self.collection.mask_crops,
        )

    def target_file(self, key: str) -> str:
        """The style statistics of this key."""
        return f"{self.collection.results}/shared/targets/{key}.safetensors"

    @cached_property
    def networks(self) -> NetworkFiles:
        """Where transformation networks lie, and how they are made."""
        return NetworkFiles(f"{self.collection.results}/shared", self.collection.networks)

    def weights_file(self, name: str) -> str:
        """The model file of this name."""
        return f"{self.collection.resources}/weights/{name}.safetensors"

    @property
    def viewer(self) -> list[str]:
        """The script that shows full images in the report: a list of one file, or of none."""
        wanted = self.collection.config.report.viewer != "none"
        return [f"{self.collection.resources}/viewer/{viewer.FILE}"] if wanted else []

    # -- what they are made from, and how ---------------------------------------------------------

    def seen(self, files: Iterable[str | list[str]]) -> str:
        """The user's files among a job's inputs with their lengths in bytes, as one line of JSON.

        Snakemake takes a file for another one when it is newer; what is moved, unpacked or copied into its
        place may be older. What jobs make is left out: it is newer each time.
        """
        made = (f"{self.collection.results}/", f"{self.collection.resources}/")
        each = itertools.chain.from_iterable([file] if isinstance(file, str) else file for file in files)
        return json.dumps({file: _length(Path(file)) for file in each if not file.startswith(made)})

    def weights_inputs(self, name: str) -> list[str]:
        """The user's own model file of this name: a list of one file, or of none."""
        source = self.collection.weights[name]
        return [] if source is None or source.path is None else [source.path.as_posix()]

    def weights_options(self, name: str) -> str:
        """`impasto fetch-weights`' options for this model file."""
        source = self.collection.weights[name]
        if source is None:
            return ""
        given = {"--path": source.path, "--url": source.url, "--sha256": source.sha256}
        return shlex.join(
            word for option, value in given.items() if value is not None for word in (option, str(value))
        )

    @property
    def viewer_inputs(self) -> list[str]:
        """The user's own viewer: a list of one file, or of none."""
        own = self.collection.config.report.viewer
        return [own.as_posix()] if isinstance(own, Path) else []

    @property
    def viewer_options(self) -> str:
        """`impasto fetch-viewer`'s options."""
        return shlex.join(word for file in self.viewer_inputs for word in ("--path", file))

    def crop_options(self, key: str) -> str:
        """`impasto crop`'s options for this part of an image."""
        crop = self.collection.crops[key]
        focus = crop.focus if isinstance(crop.focus, str) else "{!r},{!r}".format(*crop.focus)
        return shlex.join(["--size", str(crop.size), "--focus", focus])

    def crop_mask_inputs(self, key: str) -> dict[str, str]:
        """The files that a part of a mask is made from."""
        crop = self.collection.mask_crops[key]
        return {"mask": crop.file.as_posix(), "crop": self.crop_record(crop.crop)}

    def segment_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files that an automatic mask is made from."""
        mask = self.collection.masks[key]
        return {
            "image": self.prepared_file(mask.prepared),
            "weights": [self.weights_file(name) for name in mask.settings.weights],
        }

    def partition_inputs(self, key: str) -> dict[str, str]:
        """The files that an image's parts are made from."""
        cut = self.collection.partitions[key]
        return {"image": self.prepared_file(cut.prepared), "weights": self.weights_file(cut.weights)}

    def recolour_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files that an image at a level is made from."""
        image = self.collection.images[key]
        references = [how.reference for how in image.recolourings if how.reference is not None]
        areas = [area for how in image.recolourings for area in how.areas]
        return {
            "image": self.prepared_file(image.prepared),
            "references": [self.prepared_file(reference) for reference in dict.fromkeys(references)],
            "masks": self.masks.inputs(areas),
        }

    def recolour_options(self, key: str) -> str:
        """`impasto recolour`'s options for this image, but for its maps."""
        image = self.collection.images[key]
        return shlex.join(["--size", str(Size(image.height, image.width))])

    def recolour_maps(self, key: str) -> str:
        """The colour maps of this image as one line of JSON, as `impasto recolour --maps` reads them."""
        maps = [
            {
                "mode": how.mode,
                "transform": how.transform,
                "reference": None if how.reference is None else self.prepared_file(how.reference),
                "luma_match": how.luma_match,
                "mask": None if how.area is None else self.masks.word(how.area),
                "reference_mask": None if how.reference_area is None else self.masks.word(how.reference_area),
                "everywhere": how.everywhere,
                "measured_everywhere": how.measured_everywhere,
                "may_be_empty": any(self.masks.may_be_empty(area) for area in how.areas),
            }
            for how in self.collection.images[key].recolourings
        ]
        return json.dumps(maps)

    def mix_inputs(self, key: str) -> dict[str, str]:
        """The files that a mixture is made from."""
        mix = self.collection.mixes[key]
        inputs = {
            "start": self.image_file(mix.start),
            "fine": self.image_file(mix.fine),
            "weights": self.weights_file(mix.network.name),
        }
        return inputs | self.channel_means(mix.network)

    def mix_plan(self, key: str) -> str:
        """The part of a mixture's plan that its pixels depend on, as one line of JSON."""
        return self.collection.mixes[key].without_costs().model_dump_json()

    def target_inputs(self, key: str) -> dict[str, str]:
        """The files that style statistics are made from."""
        target = self.collection.targets[key]
        inputs = {
            "image": self.image_file(target.image),
            "weights": self.weights_file(target.network.name),
        }
        if target.mask is not None:
            inputs["mask"] = self.masks.inputs([target.mask])[0]
        return inputs | self.channel_means(target.network)

    def target_options(self, key: str) -> str:
        """`impasto targets`' options for these statistics."""
        target = self.collection.targets[key]
        words = ["--network", target.network.name, "--pooling", target.network.pooling]
        words += ["--layers", *target.network.style_layers, "--precision", target.precision]
        words += ["--device", self.collection.config.compute.device, "--threads", "1"]
        if target.mask is not None:
            words += ["--mask", self.masks.word(target.mask), "--propagation", target.propagation]
            words += ["--grow-units", str(target.grow_units)]
        if target.network.normalised:
            words.append("--normalised")
        if target.network.channel_means is not None:
            words += ["--channel-means", target.network.channel_means.as_posix()]
        return shlex.join(words)

    def channel_means(self, network: Network) -> dict[str, str]:
        """The user's channel means of a network, as an input where there are some."""
        return {} if network.channel_means is None else {"means": network.channel_means.as_posix()}

    def train_inputs(self, key: str) -> dict[str, str | list[str]]:
        """The files that a network is trained on, but for those in folders."""
        settings = self.collection.networks[key].settings
        return {
            "photographs": [path.as_posix() for path in settings.photographs if not path.is_dir()],
            "styles": [path.as_posix() for path in settings.styles.values()],
            "weights": self.weights_file(settings.network),
        }

    def train_folders(self, key: str) -> list[str]:
        """The folders with photographs that a network is trained on."""
        settings = self.collection.networks[key].settings
        return [path.as_posix() for path in settings.photographs if path.is_dir()]

    def photographs_state(self, key: str) -> str:
        """What changes with the photographs in the folders that a network is trained on.

        The time of a folder changes with any file in it, and not with those in folders below.
        """
        if key not in self._photographs_states:
            states = [photographs.state(Path(folder)) for folder in self.train_folders(key)]
            self._photographs_states[key] = " ".join(states)
        return self._photographs_states[key]

    @cached_property
    def _photographs_states(self) -> dict[str, str]:
        return {}


def _length(file: Path) -> int | None:
    """A file's length in bytes; None where it went away after the artworks were planned."""
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return None

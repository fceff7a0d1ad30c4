"""Gives a rank its share of a model: mapped where an earlier start has converted it, else converted, and kept."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from sarathid.errors import ConfigError
from sarathid.executor.placement import checkpoint_names
from sarathid.executor.progress import loading
from sarathid.models.decoder import Decoder
from sarathid.models.kept_weights import KeptWeights, RememberedMemory, WeightsDamaged
from sarathid.models.layers.context import WeightMemory
from sarathid.models.model_files import DirectoryFiles, GGUFFiles
from sarathid.models.share import ModelShare
from sarathid.models.weights import fill_dummy, load_weights, open_weights
from sarathid.paths import cache_dir, make_private
from sarathid.protocol.stats import WeightsOrigin

WEIGHTS_DIR = "weights"


@dataclass(frozen=True, slots=True)
class LoadedShare:
    """A share of a model with its weights; `fault` says what was wrong with what was kept, or why nothing is."""

    model: Decoder
    origin: WeightsOrigin
    fault: str = ""


class ShareLoader:
    """Loads a share of a model's files into the memory that its layers take when `build` makes them."""

    def __init__(
        self,
        files: DirectoryFiles | GGUFFiles,
        share: ModelShare,
        device: torch.device,
        build: Callable[[WeightMemory], Decoder],
        num_threads: int,
    ) -> None:
        self._files = files
        self._share = share
        self._device = device
        self._build = build
        self._num_threads = num_threads

    def dummy(self) -> LoadedShare:
        """Return the share full of random numbers."""
        model = self._build(RememberedMemory(self._device))
        fill_dummy(model.checkpoint_tensors(), self._device)
        return LoadedShare(model, WeightsOrigin.READ)

    def read(self, num_bytes: int) -> LoadedShare:
        """Return the share as the model's files have it; it takes `num_bytes`."""
        return LoadedShare(self._read(RememberedMemory(self._device), num_bytes), WeightsOrigin.READ)

    def convert_once(self, num_bytes: int, *formats: object) -> LoadedShare:
        """Return the share in some formats that the model's files do not have, from the cache directory if it is there.

        Where it is not, it is kept there; that this can't be is no reason not to serve.
        """
        try:
            kept = KeptWeights(make_private(make_private(cache_dir()) / WEIGHTS_DIR), self._files, self._share, formats)
        except ConfigError as error:
            memory = RememberedMemory(self._device)
            return LoadedShare(self._read(memory, num_bytes), WeightsOrigin.CONVERTED, str(error))
        try:
            mapped = kept.open(self._num_threads)
            if mapped is not None:
                return LoadedShare(self._build(mapped), WeightsOrigin.MAPPED)
        except WeightsDamaged as error:
            kept.remove()
            return self._convert(kept, num_bytes, f"{kept.path} was damaged and is made anew: {error}")
        return self._convert(kept, num_bytes)

    def _convert(self, kept: KeptWeights, num_bytes: int, damage: str = "") -> LoadedShare:
        memory = RememberedMemory(self._device)
        model = self._read(memory, num_bytes)
        try:
            kept.keep(memory.tensors, self._num_threads)
        except OSError as error:
            return LoadedShare(model, WeightsOrigin.CONVERTED, f"converted weights can't be kept: {error}")
        return LoadedShare(model, WeightsOrigin.CONVERTED, damage)

    def _read(self, memory: RememberedMemory, num_bytes: int) -> Decoder:
        model = self._build(memory)
        source, names = open_weights(self._files), checkpoint_names(self._share.config)
        load_weights(model.checkpoint_tensors(), source, self._num_threads, loading(self._files.name, num_bytes), names)
        return model

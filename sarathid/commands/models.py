"""`sarathid models`: what can be fetched, fetching it, writing it for other tools, and what quantizing it costs."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import typer

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.models import catalog, fetch
from sarathid.models.model_files import resolve

app = typer.Typer(help="List, fetch, export and judge models.", no_args_is_help=True)

_QUANTIZATIONS: tuple[Literal["off", "int8", "int4"], ...] = ("off", "int8", "int4")
_Name = Annotated[str, typer.Argument(help="A name that `sarathid models list` shows.")]


@app.command("list")
def list_models() -> None:
    """Show the models that can be fetched by name, and which are in the cache."""
    for model in catalog.CATALOG:
        state = "fetched" if fetch.is_fetched(model) else f"{model.num_bytes / 1e6:.0f} MB to fetch"
        typer.echo(f"{model.name}\t{model.license}\t{state}\t{model.description}")


@app.command("fetch")
def fetch_model(name: _Name) -> None:
    """Fetch a model into the cache and print where it lies."""
    typer.echo(str(fetch.fetch(catalog.find(name), _say)))


@app.command("export")
def export_model(
    model: Annotated[str, typer.Argument(help="A name, a model directory or a .gguf file.")],
    directory: Annotated[Path, typer.Argument(help="A directory that does not exist yet, or is empty.")],
) -> None:
    """Write a model in Hugging Face's layout: float32 safetensors, tokenizer and chat template."""
    # Deferred: listing and fetching load no torch.
    from sarathid.models.export import export

    export(resolve(model, _say), directory)
    typer.echo(str(directory))


@app.command("perplexity")
def measure_perplexity(
    model: Annotated[str, typer.Argument(help="A name, a model directory or a .gguf file.")],
    text: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is to be predicted [a speech of 1863].")
    ] = None,
) -> None:
    """Say how well a model predicts a text, in its own weights and in int8 and int4."""
    # Deferred: listing and fetching load no torch.
    from sarathid.executor.local import LocalExecutor
    from sarathid.executor.perplexity import perplexity

    words = files("sarathid.models").joinpath("gettysburg.txt") if text is None else text
    try:
        token_ids = resolve(model, _say).tokenizer.encode(words.read_text(encoding="utf-8")).ids
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{text}: {error}") from error
    if len(token_ids) < 2:
        raise ConfigError(f"{text} has {len(token_ids)} tokens, and there must be two to predict one")
    plain = None
    for quantize in _QUANTIZATIONS:
        executor = LocalExecutor(
            EngineConfig(model=model, quantize=quantize, max_model_len=len(token_ids), max_num_seqs=1)
        )
        info = executor.start()
        found = perplexity(executor.runner, token_ids, info.block_size)
        executor.close()
        plain = plain or found
        typer.echo(f"{info.weight_format}\t{found:.3f}\t{found / plain - 1:+.2%}\t{info.weight_bytes / 1e6:.0f} MB")


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")

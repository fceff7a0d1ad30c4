"""`sarathid models`: what can be fetched, fetching it, and writing it for other tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sarathid.models import catalog, fetch
from sarathid.models.model_files import resolve

app = typer.Typer(help="List, fetch and export models.", no_args_is_help=True)

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


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")

"""Textual's driver of a terminal, which tells how long its writes take."""

from io import TextIOWrapper
from typing import IO, Any, Protocol, cast

from textual.app import App
from textual.drivers.linux_driver import LinuxDriver

from sarathictl.state.outflow import Outflow


class Metered(Protocol):
    """An app that keeps account of what goes to its terminal."""

    @property
    def outflow(self) -> Outflow: ...


class MeteredDriver(LinuxDriver):
    """Writes as its base does, in a thread, through a file that notes when."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        assert self._file is not None, "the driver of a terminal has one"
        self._file = cast(TextIOWrapper, MeteredFile(self._file, cast(Metered, app).outflow))

    def resume_application_mode(self) -> None:
        """Take the terminal again; who was stopped without notice is still at it, and its threads end first."""
        if self._key_thread is not None and self._key_thread.is_alive():
            self.suspend_application_mode()
        super().resume_application_mode()


class MeteredFile:
    """What the driver needs of a file."""

    def __init__(self, file: IO[str], outflow: Outflow) -> None:
        self._file = file
        self._outflow = outflow

    def write(self, text: str) -> None:
        self._outflow.begin()
        self._file.write(text)
        self._outflow.end(len(text.encode()))

    def flush(self) -> None:
        self._outflow.begin()
        self._file.flush()
        self._outflow.end(0)

    def fileno(self) -> int:
        return self._file.fileno()

"""What dialogs and panels tell the app."""

from textual.message import Message


class CommandAsked(Message):
    """Somebody wants the command, without the program's name, that does what is on the screen."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command

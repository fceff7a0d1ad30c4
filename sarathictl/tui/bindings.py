"""The keys of a place as Textual takes them."""

from textual.binding import Binding, BindingType

from sarathictl.keymap import LINE, Place, entries_at


def bindings_at(*places: Place) -> list[BindingType]:
    """Return the bindings of all keys at these places."""
    return [
        Binding(
            key.name,
            key.action,
            key.word,
            show=key.action in LINE,
            key_display=key.sign or None,
            priority=key.is_first,
            tooltip=entry.words,
        )
        for entry in entries_at(*places)
        for key in entry.keys
    ]

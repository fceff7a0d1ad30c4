"""Textual's stylesheet, which reads its sources anew only where a variable of theirs is another."""

from textual.css.stylesheet import Stylesheet


class SteadyStylesheet(Stylesheet):
    """Is told of a theme three times while an app comes up, each of which would have everything read once more."""

    def __init__(self, variables: dict[str, str]) -> None:
        super().__init__(variables=variables)
        self._is_stale = False

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take over the values of variables, which what was read before was read with if they are the same."""
        if variables != self._variables:
            self._is_stale = True
            super().set_variables(variables)

    def reparse(self) -> None:
        """Read what has not been read with the variables as they are."""
        if self._is_stale:
            self._is_stale = False
            super().reparse()
        else:
            self.parse()

"""What stands on the terminal, as text."""

from sarathictl.tui.app import ConsoleApp


def screen_text(app: ConsoleApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "".join(f"{strip.text.rstrip()}\n" for strip in strips)

"""Colours, one meaning each: Okabe and Ito's palette on dark, light and black, and the terminal's own."""

from collections.abc import Mapping

from sarathictl.client.contexts import BadgeColor

# Okabe and Ito, "Color universal design" (2008): told apart by every kind of colour vision.
_OKABE_ITO = {
    "decode": "#009e73",
    "prefill": "#56b4e9",
    "over": "#d55e00",
    "slo": "#f0e442",
    "kv": "#cc79a7",
    "preempted": "#e69f00",
    "on-alarm": "#ffffff",
    "on-notice": "#000000",
}

# On black or white ground all the same: a name in one of them is written in black.
BADGES: Mapping[BadgeColor, str] = {
    BadgeColor.RED: "#ff5f5f",
    BadgeColor.YELLOW: "#f0e442",
    BadgeColor.GREEN: "#00c08b",
    BadgeColor.BLUE: "#56b4e9",
    BadgeColor.PURPLE: "#cc79a7",
}

COLORS: Mapping[str, Mapping[str, str]] = {
    "dark": {**_OKABE_ITO, "prefill-shade": "#2b556c", "idle": "#7f8c98", "selected": "#26323d"},
    "light": {
        **_OKABE_ITO,
        "decode": "#00785a",
        "prefill": "#0072b2",
        "prefill-shade": "#8fc0dc",
        "slo": "#a08a00",
        "preempted": "#a86f00",
        "idle": "#6a7580",
        "selected": "#d8e4ee",
    },
    "high-contrast": {
        **_OKABE_ITO,
        "decode": "#00ffb3",
        "prefill": "#7fd4ff",
        "prefill-shade": "#2f5a70",
        "over": "#ff7a1a",
        "idle": "#c8c8c8",
        "selected": "#004a7f",
        "on-alarm": "#000000",
    },
    "ansi": {
        "decode": "green",
        "prefill": "bright_cyan",
        "prefill-shade": "blue",
        "over": "bright_red",
        "slo": "yellow",
        "kv": "magenta",
        "preempted": "bright_yellow",
        "idle": "bright_black",
        "selected": "bright_black",
        "on-alarm": "bright_white",
        "on-notice": "black",
    },
}
